"""Makes a verdict of a snapshot."""

from collections.abc import Callable, Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.causes.admission import refusals, refused_pods
from ft_serving.cluster.diagnosis.causes.containers import broken_containers, unstarted_containers
from ft_serving.cluster.diagnosis.causes.controllers import failed_job, failed_jobs, failed_rollouts
from ft_serving.cluster.diagnosis.causes.pods import (
    failed_mounts,
    unbound_claims,
    unpullable_images,
    unschedulable_pods,
)
from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import (
    SETTLING_S,
    UNOBSERVED_SETTLING_S,
    Cause,
    Finding,
    State,
    Verdict,
)
from ft_serving.cluster.documents import Document, condition, container_statuses, holds, name

_ROOTS_FIRST = list(Cause)

_OF_PODS: tuple[Callable[[NamespaceSnapshot], Iterator[Finding]], ...] = (
    unbound_claims,
    unschedulable_pods,
    failed_mounts,
    unpullable_images,
)
_RULES = (refusals, failed_jobs, *_OF_PODS, broken_containers, failed_rollouts)
_JOB_RULES = (failed_job, refused_pods, *_OF_PODS, unstarted_containers)


def diagnose(snapshot: NamespaceSnapshot, now: datetime) -> Verdict:
    """Return the verdict about an InferenceService; graces are counted to `now`."""
    service = snapshot.service()
    if service is not None and _ready(snapshot, service):
        return Verdict(state=State.READY, summary="READY", url=_url(service))
    return diagnose_replicas(snapshot, now)


def diagnose_replicas(snapshot: NamespaceSnapshot, now: datetime) -> Verdict:
    """Return the verdict about the pods, whatever the condition Ready is.

    That condition stays true when replicas break later.
    """
    service = snapshot.service()
    # A first specification has none before it that a status could be about.
    changed = service is not None and service["metadata"]["generation"] > 1
    settling_s = UNOBSERVED_SETTLING_S if changed and not snapshot.observed() else SETTLING_S
    return _verdict(
        [finding for rule in _RULES for finding in rule(snapshot)],
        now,
        settled=(now - snapshot.begun).total_seconds() >= settling_s,
        progress=lambda: _progress(snapshot),
        url=_url(service),
    )


def diagnose_job(snapshot: JobSnapshot, now: datetime) -> Verdict:
    """Return the verdict about a Job, which is READY once it has succeeded.

    Nothing has to settle: the objects are this Job's only, and its specification does not change.
    """
    job = snapshot.job()
    if job is not None and holds(job, "Complete"):
        return Verdict(state=State.READY, summary="done")
    findings = [finding for rule in _JOB_RULES for finding in rule(snapshot)]
    pods = [f"pod {name(pod)} is {pod['status']['phase'].lower()}" for pod in snapshot.pods()]
    return _verdict(findings, now, progress=lambda: "; ".join(pods) or "it has no pod yet")


def _verdict(
    found: list[Finding],
    now: datetime,
    *,
    progress: Callable[[], str],
    settled: bool = True,
    url: str | None = None,
) -> Verdict:
    unique = {(finding.cause, finding.message): finding for finding in found}
    findings = sorted(
        unique.values(),
        key=lambda each: (not each.final(now), _ROOTS_FIRST.index(each.cause)),
    )
    final = [finding for finding in findings if settled and finding.final(now)]
    if final:
        summary = _failure(findings, final)
    else:
        summary = findings[0].message if findings else progress()
    state = State.FAILED if final else State.PENDING
    return Verdict(state=state, findings=tuple(findings), summary=summary, url=url)


def _failure(findings: list[Finding], final: list[Finding]) -> str:
    # A rollout's deadline says nothing that its cause does not. Without a final cause, those that
    # might have passed are why the deadline passed.
    causes = [each for each in final if each.cause is not Cause.DEADLINE]
    told = causes or findings
    if any(each.cause is Cause.MODEL for each in causes):
        told = [each for each in findings if each.cause is Cause.JOB] + told
    return "\n".join(finding.message for finding in told)


def _url(service: Document | None) -> str | None:
    # https://kserve.github.io/website: status.address is the address within the cluster.
    url = (service or {}).get("status", {}).get("address", {}).get("url")
    return None if url is None else str(url)


def _ready(snapshot: NamespaceSnapshot, service: Document) -> bool:
    """Return whether the newest state is served, and not only the one before it."""
    if not (snapshot.observed() and holds(service, "Ready")):
        return False
    if snapshot.newest_revisions():
        return all(
            "latestReadyRevision" in it
            and it["latestReadyRevision"] == it.get("latestCreatedRevision")
            for it in snapshot.component_statuses().values()
        )
    return all(map(_is_rolled_out, snapshot.own(Kind.DEPLOYMENTS)))


def _is_rolled_out(deployment: Document) -> bool:
    """Return whether a Deployment's pods are all of its newest rollout, and one is available.

    A rollout that hangs, or begins, leaves the service's condition Ready true, by the pods of the
    one before it; and a Deployment's Progressing is that one's until the first new pod is made.
    """
    status = deployment["status"]
    return (
        condition(deployment, "Progressing").get("reason") == "NewReplicaSetAvailable"
        and status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and status.get("availableReplicas", 0) >= min(1, deployment["spec"]["replicas"])
    )


def _progress(snapshot: NamespaceSnapshot) -> str:
    pods = [words for pod in snapshot.pods() for words in _containers(pod)]
    if pods:
        return "; ".join(pods)
    ready = condition(snapshot.service() or {}, "Ready")
    return str(ready.get("message") or "KServe has not made a pod yet")


def _containers(pod: Document) -> Iterator[str]:
    statuses = container_statuses(pod)
    if not statuses:
        yield f"pod {name(pod)} is to be scheduled"
    for status in statuses:
        (state, about), *_ = status["state"].items() or [("waiting", {})]
        if not status["ready"]:
            why = about.get("reason") or ("not ready" if state == "running" else "")
            yield f"{status['name']} of pod {name(pod)} is {state}" + (f" ({why})" if why else "")
