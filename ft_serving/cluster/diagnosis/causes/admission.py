"""Objects that the API server does not let in: quotas, webhooks, Pod Security."""

import re
from collections.abc import Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding, found
from ft_serving.cluster.documents import Document, condition, name, since

# The API server's quota plugin: k8s.io/apiserver, pkg/admission/plugin/resourcequota.
_EXCEEDED = re.compile(
    r"exceeded quota: (?P<quota>[^,]+), requested: (?P<requested>\S+), used: (?P<used>\S+), "
    r"limited: (?P<limited>[^\s:]+)"
)
_UNSTATED = re.compile(
    r"failed quota: (?P<quota>[^:]+): must specify (?P<what>.+? for: .+?)(?=: spec|$)"
)
_WEBHOOK = re.compile(r'admission webhook "([^"]+)" denied the request: (.*)', re.DOTALL)
_SECURITY = re.compile(r'violates PodSecurity "([^"]+)": (.*?)(?=: spec\.template$|$)', re.DOTALL)
_REFUSED = re.compile(r".*?\b(?:is forbidden|is invalid): .*", re.DOTALL)
# Where one webhook's message holds what another said of a trial.
_TRIAL = re.compile(r"(validation callback failed: )?dry run failed with ")


def refusals(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """What was refused of all that the InferenceService is made of, or that it is not there."""
    service = snapshot.service()
    if service is None:
        others = ", ".join(map(name, snapshot.all(Kind.INFERENCE_SERVICES))) or "none"
        yield found(
            snapshot,
            Cause.MISSING,
            f"There is no InferenceService {snapshot.name} in namespace {snapshot.namespace}, "
            f"which has: {others}",
        )
        return
    # A quota refuses Knative's trial and then the pod itself, which has a proxy besides: one cause.
    by_quota: dict[str, Finding] = {}
    for text, begin in _messages(snapshot, service):
        finding = _refusal(snapshot, text, begin)
        match = _EXCEEDED.search(text)
        if finding is not None:
            by_quota[match["quota"] if match else text] = finding
    yield from by_quota.values()


def refused_pods(snapshot: JobSnapshot) -> Iterator[Finding]:
    """What was refused of the pods that a Job is to have, while it has none."""
    # A Job that had this name before may have been refused for what is mended now.
    events = [
        event
        for event in snapshot.events("Job", snapshot.name, "FailedCreate")
        if event["involvedObject"].get("uid") == snapshot.uid()
    ]
    if not events or snapshot.pods():
        return
    finding = _refusal(snapshot, str(events[-1]["message"]), snapshot.happened(events[0])[0])
    if finding is not None:
        yield finding


def _messages(snapshot: NamespaceSnapshot, service: Document) -> Iterator[tuple[str, datetime]]:
    ready = condition(service, "Ready")
    if ready.get("reason") == "ReconcileFailed" and ready["status"] == "False":
        # Its time is renewed with each attempt, whose message names another object.
        events = snapshot.events("InferenceService", snapshot.name, "InternalError")
        first = snapshot.happened(events[0])[0] if events else since(ready, snapshot.begun)
        yield ready.get("message", ""), first
    for deployment in snapshot.current(Kind.DEPLOYMENTS):
        failure = condition(deployment, "ReplicaFailure")
        if failure.get("status") == "True":
            yield failure.get("message", ""), since(failure, snapshot.begun)


def _refusal(snapshot: NamespaceSnapshot, text: str, begin: datetime) -> Finding | None:
    if match := _EXCEEDED.search(text):
        return found(
            snapshot,
            Cause.QUOTA,
            f"Quota {match['quota']} of namespace {snapshot.namespace} is exceeded: requested "
            f"{match['requested']}; used already {match['used']}; allowed {match['limited']}. "
            "Raise the quota, ask for less, or remove what uses it",
            since=begin,
        )
    if match := _UNSTATED.search(text):
        return found(
            snapshot,
            Cause.QUOTA,
            f"Quota {match['quota']} of namespace {snapshot.namespace} wants every container to "
            f"state what it limits, and one does not: {match['what']}. State it, set a LimitRange "
            "with a default, or (queue-proxy) set it in Knative's ConfigMap config-deployment",
            since=begin,
        )
    if match := _SECURITY.search(text):
        return found(
            snapshot,
            Cause.REFUSED,
            f"Pod Security ({match[1]}) of namespace {snapshot.namespace} refuses the pod: "
            f"{match[2]}",
            since=begin,
        )
    if match := _WEBHOOK.search(text):
        said = _TRIAL.sub("", match[2])
        flags = (
            ". Knative allows such fields by the flags of its ConfigMap config-features"
            if "must not set the field" in said
            else ""
        )
        message = f"Admission webhook {match[1]} refuses what is asked for: {said}"
        return found(snapshot, Cause.REFUSED, message + flags, since=begin)
    if match := _REFUSED.search(text):
        return found(snapshot, Cause.REFUSED, f"The API server refuses it: {match[0]}", since=begin)
    # Others, such as conflicts of two writers, pass by themselves.
    return None
