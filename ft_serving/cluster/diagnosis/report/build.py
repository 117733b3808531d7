"""From a snapshot to a report."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime

from ft_serving.cluster.diagnosis.diagnose import diagnose, diagnose_replicas
from ft_serving.cluster.diagnosis.report.advice import advice
from ft_serving.cluster.diagnosis.report.jobs import jobs_of
from ft_serving.cluster.diagnosis.report.model import (
    JobPhase,
    Report,
    Revision,
    StackJob,
    Standing,
)
from ft_serving.cluster.diagnosis.report.warnings import warnings_of
from ft_serving.cluster.diagnosis.report.workloads import (
    claims_of,
    pods_of,
    release_of,
    revisions_of,
)
from ft_serving.cluster.diagnosis.snapshot import NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, State
from ft_serving.cluster.documents import Document, condition, time
from ft_serving.cluster.job_labels import JobRole


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Judgement:
    standing: Standing
    cause: Cause | None = None
    reason: str = ""


def report(snapshot: NamespaceSnapshot, now: datetime) -> Report:
    """Say how a deployment stands, with all that belongs to it.

    Args:
        snapshot: What the API server says of it; with its Jobs' logs, their last lines are told.
        now: When that was read.
    """
    service = snapshot.service()
    # Looked at once: what has to settle began with the last change and not with this look.
    since_change = dataclasses.replace(snapshot, begun=_changed(service))
    revisions, pods = revisions_of(snapshot), pods_of(snapshot)
    jobs, claims = jobs_of(snapshot, now), claims_of(snapshot)
    judged = _judge(since_change, jobs, revisions, now)
    status = (service or {}).get("status", {})
    return Report(
        namespace=snapshot.namespace,
        name=snapshot.name,
        at=now,
        standing=judged.standing,
        serving=_serving(snapshot, revisions),
        cause=judged.cause,
        reason=judged.reason,
        url=status.get("url"),
        mode=status.get("deploymentMode"),
        replicas=_replicas(service),
        release=release_of(snapshot),
        image=_image(snapshot),
        revisions=revisions,
        pods=pods,
        jobs=jobs,
        claims=claims,
        warnings=tuple(
            warnings_of(snapshot, [job.name for job in jobs], [claim.name for claim in claims])
        ),
        next_steps=tuple(
            advice(judged.standing, judged.cause, snapshot.namespace, pods, jobs),
        ),
    )


def _judge(
    snapshot: NamespaceSnapshot,
    jobs: Sequence[StackJob],
    revisions: Sequence[Revision],
    now: datetime,
) -> _Judgement:
    verdict = diagnose(snapshot, now)
    made = snapshot.service() is not None
    lacking = [each for each in revisions if each.wanted and each.ready < each.wanted]
    if verdict.state is State.READY and lacking:
        broken = diagnose_replicas(snapshot, now)
        if broken.state is State.FAILED or not any(each.ready for each in revisions):
            verdict = broken
    if made and verdict.state is State.FAILED:
        cause = next((each.cause for each in verdict.findings if each.final(now)), None)
        return _Judgement(standing=Standing.FAILED, cause=cause, reason=verdict.summary)
    if made and verdict.state is State.PENDING:
        return _Judgement(standing=Standing.ON_ITS_WAY, reason=verdict.summary)
    # Without a service, or with one that is ready, a Job may be what `up` failed of or waits for.
    current = [job for job in jobs if _current(job, jobs, snapshot)]
    for job in current:
        if job.phase is JobPhase.FAILED:
            reason = f"Job {job.name} ({job.role}) failed: {job.said}"
            return _Judgement(standing=Standing.FAILED, cause=_job_cause(job), reason=reason)
    for job in current:
        if job.phase is JobPhase.RUNNING:
            reason = f"Job {job.name} ({job.role}) runs: {job.said}"
            return _Judgement(standing=Standing.ON_ITS_WAY, reason=reason)
    if not made:
        cause = Cause.MISSING
        return _Judgement(standing=Standing.FAILED, cause=cause, reason=verdict.summary)
    idle = revisions and all(each.state == "idle" and not each.running for each in revisions)
    return _Judgement(standing=Standing.SCALED_TO_ZERO if idle else Standing.READY)


def _current(job: StackJob, jobs: Sequence[StackJob], snapshot: NamespaceSnapshot) -> bool:
    """Whether a Job is about what there is now, and not about a state before."""
    if job.role is JobRole.SMOKE_TEST:
        return snapshot.service() is not None and job.created >= snapshot.begun
    if job.role is JobRole.DOWNLOAD_GATE:
        downloads = [each.created for each in jobs if each.role is JobRole.DOWNLOAD]
        return all(job.created >= each for each in downloads)
    return True


def _job_cause(job: StackJob) -> Cause | None:
    # What a smoke test says is about the answer; of the others, about the weights.
    if job.role is JobRole.SMOKE_TEST:
        return None
    return job.cause


def _changed(service: Document | None) -> datetime:
    """When the specification was last changed; of what is not there, before everything."""
    if service is None:
        return datetime.min.replace(tzinfo=UTC)
    metadata = service["metadata"]
    stamps = [
        each["time"]
        for each in metadata.get("managedFields") or ()
        # Others write finalizers and annotations.
        if "time" in each and "f:spec" in each.get("fieldsV1", {})
    ]
    return max(map(time, [metadata["creationTimestamp"], *stamps]))


def _serving(snapshot: NamespaceSnapshot, revisions: Sequence[Revision]) -> bool:
    predictor = _predictor_status(snapshot.service())
    routed = condition(snapshot.service() or {}, "PredictorRouteReady").get("status") == "True"
    # One that is idle is started by the next request.
    idle = any(
        each.state == "idle" and each.name == predictor.get("latestReadyRevision")
        for each in revisions
    )
    return (routed and idle) or any(each.ready for each in revisions)


def _predictor_status(service: Document | None) -> Document:
    status: Document = (service or {}).get("status", {}).get("components", {}).get("predictor", {})
    return status


def _replicas(service: Document | None) -> tuple[int, int] | None:
    if service is None:
        return None
    predictor = service["spec"].get("predictor", {})
    # KServe's defaults.
    fewest = int(predictor.get("minReplicas", 1))
    return fewest, max(fewest, int(predictor.get("maxReplicas") or fewest))


def _image(snapshot: NamespaceSnapshot) -> str | None:
    images = [
        str(container["image"])
        for spec in snapshot.specs()
        for container in spec.get("containers") or ()
        if "image" in container
    ]
    return images[0] if images else None
