"""From a snapshot to a verdict."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.causes.admission import refusals, refused_pods
from ft_serving.cluster.diagnosis.causes.containers import broken_containers, unstarted_containers
from ft_serving.cluster.diagnosis.causes.images import unpullable_images
from ft_serving.cluster.diagnosis.causes.jobs import failed_job, failed_jobs
from ft_serving.cluster.diagnosis.causes.rollout import failed_rollouts
from ft_serving.cluster.diagnosis.causes.scheduling import unschedulable_pods
from ft_serving.cluster.diagnosis.causes.volumes import failed_mounts, unbound_claims
from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import (
    SETTLING_S,
    UNOBSERVED_SETTLING_S,
    Cause,
    Finding,
    State,
    Verdict,
)
from ft_serving.cluster.documents import Document, condition, container_statuses, name

_ROOTS_FIRST = list(Cause)

_RULES: tuple[Callable[[NamespaceSnapshot], Iterator[Finding]], ...] = (
    refusals,
    failed_jobs,
    unbound_claims,
    unschedulable_pods,
    failed_mounts,
    unpullable_images,
    broken_containers,
    failed_rollouts,
)

_JOB_RULES: tuple[Callable[[JobSnapshot], Iterator[Finding]], ...] = (
    failed_job,
    refused_pods,
    unbound_claims,
    unschedulable_pods,
    failed_mounts,
    unpullable_images,
    unstarted_containers,
)


def diagnose(snapshot: NamespaceSnapshot, now: datetime) -> Verdict:
    """Say how a deployment stands, and why.

    Args:
        snapshot: What the API server says of it.
        now: The time that graces are counted to.
    """
    service = snapshot.service()
    if service is not None and _ready(snapshot, service):
        return Verdict(state=State.READY, findings=(), summary="READY", url=_url(service))
    return diagnose_replicas(snapshot, now)


def diagnose_replicas(snapshot: NamespaceSnapshot, now: datetime) -> Verdict:
    """Say what keeps replicas from running, whatever the conditions say.

    READY is about having become so: it stays when replicas break later.

    Args:
        snapshot: What the API server says of it.
        now: The time that graces are counted to.
    """
    service = snapshot.service()
    settled = (now - snapshot.begun).total_seconds() >= _settling_s(snapshot, service)
    findings = _roots_first((each for rule in _RULES for each in rule(snapshot)), now)
    final = [finding for finding in findings if settled and finding.final(now)]
    return Verdict(
        state=State.FAILED if final else State.PENDING,
        findings=tuple(findings),
        summary=_failure(findings, final) if final else _progress(snapshot, findings),
        url=_url(service),
    )


def diagnose_job(snapshot: JobSnapshot, now: datetime) -> Verdict:
    """Say how a Job stands: it is ready once it has succeeded.

    Nothing has to settle: what is looked at is of this Job alone, and a Job's specification does
    not change.

    Args:
        snapshot: What the API server says of it.
        now: The time that graces are counted to.
    """
    job = snapshot.job()
    if job is not None and condition(job, "Complete").get("status") == "True":
        return Verdict(state=State.READY, findings=(), summary="done", url=None)
    findings = _roots_first((each for rule in _JOB_RULES for each in rule(snapshot)), now)
    final = [finding for finding in findings if finding.final(now)]
    return Verdict(
        state=State.FAILED if final else State.PENDING,
        findings=tuple(findings),
        summary=_failure(findings, final) if final else _job_progress(snapshot, findings),
        url=None,
    )


def _roots_first(findings: Iterable[Finding], now: datetime) -> list[Finding]:
    """Each finding once, final ones before those that may pass."""
    unique = {(finding.cause, finding.message): finding for finding in findings}
    return sorted(
        unique.values(),
        key=lambda each: (not each.final(now), _ROOTS_FIRST.index(each.cause)),
    )


def _settling_s(snapshot: NamespaceSnapshot, service: Document | None) -> float:
    # A first specification has none before it that a status could be about.
    changed = service is not None and service["metadata"]["generation"] > 1
    return UNOBSERVED_SETTLING_S if changed and not snapshot.observed() else SETTLING_S


def _url(service: Document | None) -> str | None:
    # https://kserve.github.io/website: status.address is the address within the cluster.
    url = (service or {}).get("status", {}).get("address", {}).get("url")
    return None if url is None else str(url)


def _ready(snapshot: NamespaceSnapshot, service: Document) -> bool:
    """Whether the newest state is served, and not only the one before it."""
    status = service.get("status", {})
    if not (snapshot.observed() and condition(service, "Ready").get("status") == "True"):
        return False
    predictor = status.get("components", {}).get("predictor", {})
    if snapshot.newest_revision():
        return bool(predictor.get("latestReadyRevision") == snapshot.newest_revision())
    # A rollout that hangs leaves the condition Ready true, by the pods of the one before it.
    return all(
        condition(each, "Progressing").get("reason") == "NewReplicaSetAvailable"
        for each in snapshot.own(Kind.DEPLOYMENTS)
    )


def _failure(findings: list[Finding], final: list[Finding]) -> str:
    # A rollout's deadline tells nothing that its cause does not; and what may pass by itself was
    # what it passed for.
    causes = [each for each in final if each.cause is not Cause.DEADLINE]
    told = causes or findings
    if any(each.cause is Cause.MODEL for each in causes):
        told = [each for each in findings if each.cause is Cause.JOB] + told
    return "\n".join(finding.message for finding in told)


def _progress(snapshot: NamespaceSnapshot, findings: list[Finding]) -> str:
    if findings:
        return findings[0].message
    pods = [words for pod in snapshot.pods() for words in _containers(pod)]
    if pods:
        return "; ".join(pods)
    ready = condition(snapshot.service() or {}, "Ready")
    return str(ready.get("message") or "KServe has not made a pod yet")


def _job_progress(snapshot: JobSnapshot, findings: list[Finding]) -> str:
    if findings:
        return findings[0].message
    pods = [f"pod {name(pod)} is {pod['status']['phase'].lower()}" for pod in snapshot.pods()]
    return "; ".join(pods) or "it has no pod yet"


def _containers(pod: Document) -> Iterator[str]:
    statuses = container_statuses(pod)
    if not statuses:
        yield f"pod {name(pod)} is to be scheduled"
    for status in statuses:
        (state, about), *_ = status["state"].items() or [("waiting", {})]
        if not status["ready"]:
            why = about.get("reason") or ("not ready" if state == "running" else "")
            yield f"{status['name']} of pod {name(pod)} is {state}" + (f" ({why})" if why else "")
