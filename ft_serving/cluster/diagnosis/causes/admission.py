"""Objects that the API server refuses: quotas, webhooks, Pod Security."""

import re
from collections.abc import Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding
from ft_serving.cluster.documents import Document, condition, holds, name, since

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
# A webhook's message may hold what another one said of a trial.
_TRIAL = re.compile(r"(validation callback failed: )?dry run failed with ")


def refusals(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield refusals of the InferenceService's objects, or that it does not exist."""
    service = snapshot.service()
    if service is None:
        others = ", ".join(map(name, snapshot.all(Kind.INFERENCE_SERVICES))) or "none"
        yield Finding(
            Cause.MISSING,
            f"There is no InferenceService {snapshot.name} in namespace {snapshot.namespace}, "
            f"which has: {others}",
            snapshot.begun,
        )
        return
    # A quota refuses Knative's trial and then the pod itself, which has a proxy besides: one cause.
    by_quota: dict[str, Finding] = {}
    for text, begin in _messages(snapshot, service):
        refusal = _refusal(snapshot.namespace, text)
        match = _EXCEEDED.search(text)
        if refusal is not None:
            by_quota[match["quota"] if match else text] = Finding(*refusal, begin)
    yield from by_quota.values()


def refused_pods(snapshot: JobSnapshot) -> Iterator[Finding]:
    """Yield the refusal of a Job's pods, while it has none."""
    events = [
        event
        for event in snapshot.events("Job", snapshot.name, "FailedCreate")
        # The refusal of an earlier Job of this name may be mended by now.
        if event["involvedObject"].get("uid") == snapshot.uid()
    ]
    if not events or snapshot.pods():
        return
    refusal = _refusal(snapshot.namespace, str(events[-1]["message"]))
    if refusal is not None:
        yield Finding(*refusal, snapshot.first(events[0]))


def _messages(snapshot: NamespaceSnapshot, service: Document) -> Iterator[tuple[str, datetime]]:
    ready = condition(service, "Ready")
    if ready.get("reason") == "ReconcileFailed" and ready["status"] == "False":
        # Its time is renewed with each attempt, whose message names another object.
        events = snapshot.events("InferenceService", snapshot.name, "InternalError")
        first = snapshot.first(events[0]) if events else since(ready, snapshot.begun)
        yield ready.get("message", ""), first
    for deployment in snapshot.current(Kind.DEPLOYMENTS):
        if holds(deployment, "ReplicaFailure"):
            failure = condition(deployment, "ReplicaFailure")
            yield failure.get("message", ""), since(failure, snapshot.begun)


def _refusal(namespace: str, text: str) -> tuple[Cause, str] | None:
    if match := _EXCEEDED.search(text):
        return Cause.QUOTA, (
            f"Quota {match['quota']} of namespace {namespace} is exceeded: requested "
            f"{match['requested']}; used already {match['used']}; allowed {match['limited']}. "
            "Raise the quota, ask for less, or remove what uses it"
        )
    if match := _UNSTATED.search(text):
        return Cause.QUOTA, (
            f"Quota {match['quota']} of namespace {namespace} wants every container to state its "
            f"resources, and one does not: {match['what']}. State them, set a LimitRange with a "
            "default, or (queue-proxy) set them in Knative's ConfigMap config-deployment"
        )
    if match := _SECURITY.search(text):
        return Cause.REFUSED, (
            f"Pod Security ({match[1]}) of namespace {namespace} refuses the pod: {match[2]}"
        )
    if match := _WEBHOOK.search(text):
        said = _TRIAL.sub("", match[2])
        flags = (
            ". Knative allows such fields by the flags of its ConfigMap config-features"
            if "must not set the field" in said
            else ""
        )
        return Cause.REFUSED, f"Admission webhook {match[1]} refuses the object: {said}{flags}"
    if match := _REFUSED.search(text):
        return Cause.REFUSED, f"The API server refuses the object: {match[0]}"
    # Others, such as conflicts of two writers, pass by themselves.
    return None
