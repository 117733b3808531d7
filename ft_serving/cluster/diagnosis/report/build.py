"""Makes a report of a snapshot."""

import dataclasses
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from ft_serving.cluster.diagnosis.diagnose import diagnose, diagnose_job, diagnose_replicas
from ft_serving.cluster.diagnosis.report.advice import advice
from ft_serving.cluster.diagnosis.report.model import (
    JobPhase,
    Report,
    Revision,
    StackJob,
    Standing,
    Warnings,
)
from ft_serving.cluster.diagnosis.report.workloads import (
    claims_of,
    pods_of,
    release_of,
    revisions_of,
)
from ft_serving.cluster.diagnosis.snapshot import COMPONENTS, JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, State
from ft_serving.cluster.documents import Document, created, holds, name, time
from ft_serving.cluster.job_labels import JobRole, role_of

_MOST_WARNINGS = 50
"""More do not help, and every one may be long."""

_SAID_BETTER = ("Error: ErrImagePull", "Error: ImagePullBackOff")
"""kubelet's messages beside a warning that has the registry's reason."""

# The beginning of `diagnose_job`'s message: the phase says as much.
_FAILED = re.compile(r"^It failed(?: \(\w*\))?: ")

_PHASES = {
    State.READY: JobPhase.SUCCEEDED,
    State.PENDING: JobPhase.RUNNING,
    State.FAILED: JobPhase.FAILED,
}


def report(snapshot: NamespaceSnapshot, now: datetime) -> Report:
    """Report the state of a deployment whose objects were read at a time.

    It has the Jobs' last lines if the snapshot has their logs.
    """
    service = snapshot.service()
    # This is one look: conditions had time to settle since the last change.
    since_change = dataclasses.replace(snapshot, begun=_changed(service))
    revisions, pods = revisions_of(snapshot), pods_of(snapshot)
    jobs, claims = _jobs(snapshot, now), claims_of(snapshot)
    standing, cause, reason = _judge(since_change, jobs, revisions, now)
    status = (service or {}).get("status", {})
    return Report(
        namespace=snapshot.namespace,
        name=snapshot.name,
        at=now,
        standing=standing,
        serving=_serving(snapshot, revisions),
        cause=cause,
        reason=reason,
        url=status.get("url"),
        mode=status.get("deploymentMode"),
        replicas=_replicas(service),
        release=release_of(snapshot),
        image=_image(snapshot),
        revisions=revisions,
        pods=pods,
        jobs=jobs,
        claims=claims,
        warnings=_warnings(snapshot, [it.name for it in jobs], [it.name for it in claims]),
        next_steps=tuple(advice(standing, cause, snapshot.namespace, pods, jobs)),
    )


def _judge(
    snapshot: NamespaceSnapshot,
    jobs: Sequence[StackJob],
    revisions: Sequence[Revision],
    now: datetime,
) -> tuple[Standing, Cause | None, str]:
    """Return the standing, the cause of a failure, and the reason in words."""
    verdict = diagnose(snapshot, now)
    made = snapshot.service() is not None
    lacking = [each for each in revisions if each.wanted and each.ready < each.wanted]
    if verdict.state is State.READY and lacking:
        broken = diagnose_replicas(snapshot, now)
        if broken.state is State.FAILED or not _serving(snapshot, revisions):
            verdict = broken
    if made and verdict.state is State.FAILED:
        cause = next((each.cause for each in verdict.findings if each.final(now)), None)
        return Standing.FAILED, cause, verdict.summary
    if made and verdict.state is State.PENDING:
        return Standing.ON_ITS_WAY, None, verdict.summary
    # The service is ready or does not exist yet: `up` may have failed, or wait, with a Job.
    current = [job for job in jobs if _current(job, jobs, snapshot)]
    for job in current:
        if job.phase is JobPhase.FAILED:
            # A smoke test's failure is about the answer, and none of the causes.
            cause = None if job.role is JobRole.SMOKE_TEST else job.cause
            return Standing.FAILED, cause, f"Job {job.name} ({job.role}) failed: {job.said}"
    for job in current:
        if job.phase is JobPhase.RUNNING:
            return Standing.ON_ITS_WAY, None, f"Job {job.name} ({job.role}) runs: {job.said}"
    if not made:
        return Standing.FAILED, Cause.MISSING, verdict.summary
    idle = revisions and all(each.state == "idle" and not each.running for each in revisions)
    return Standing.SCALED_TO_ZERO if idle else Standing.READY, None, ""


def _current(job: StackJob, jobs: Sequence[StackJob], snapshot: NamespaceSnapshot) -> bool:
    """Return whether a Job is about the present state, and not about one before."""
    if job.role is JobRole.SMOKE_TEST:
        return snapshot.service() is not None and job.created >= snapshot.begun
    if job.role is JobRole.DOWNLOAD_GATE:
        downloads = [each.created for each in jobs if each.role is JobRole.DOWNLOAD]
        return all(job.created >= each for each in downloads)
    return True


def _jobs(snapshot: NamespaceSnapshot, now: datetime) -> tuple[StackJob, ...]:
    """Return the newest Job of each role, in the order in which they run."""
    jobs = sorted(snapshot.all(Kind.JOBS), key=created)
    newest = {role_of(job, snapshot.name): job for job in jobs}
    return tuple(_job(snapshot, role, newest[role], now) for role in JobRole if role in newest)


def _job(snapshot: NamespaceSnapshot, role: JobRole, job: Document, now: datetime) -> StackJob:
    about = JobSnapshot(
        namespace=snapshot.namespace,
        name=name(job),
        begun=snapshot.begun,
        objects=snapshot.objects,
        logs=snapshot.logs,
    )
    verdict = diagnose_job(about, now)
    phase = _PHASES[verdict.state]
    wrote = _last_line(about)
    told = phase is JobPhase.FAILED or verdict.findings or not wrote
    return StackJob(
        role=role,
        name=name(job),
        phase=phase,
        created=created(job),
        said=_FAILED.sub("", verdict.summary) if told else wrote,
        cause=verdict.findings[0].cause if verdict.findings else None,
    )


def _last_line(snapshot: JobSnapshot) -> str:
    """Return the last telling line of the newest of the Job's pods that has one."""
    for pod in sorted(snapshot.pods(), key=created, reverse=True):
        for (of, _), log in snapshot.logs.items():
            # `ft-serving weights prepare` prints a release's folder, for programs.
            lines = [line for line in log.splitlines() if line.strip() and line[0] != "/"]
            if of == name(pod) and lines:
                return lines[-1].strip()
    return ""


def _changed(service: Document | None) -> datetime:
    """Return when the specification was last changed; without a service, the earliest time."""
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
    """Return whether each component answers requests, or the next request has it start."""
    service, statuses = snapshot.service() or {}, snapshot.component_statuses()

    def serves(component: str) -> bool:
        # The next request starts a replica of a revision that is idle.
        ready = statuses[component].get("latestReadyRevision")
        idle = any(each.state == "idle" and each.name == ready for each in revisions)
        routed = holds(service, f"{component.capitalize()}RouteReady")
        own = f"{snapshot.name}-{component}"
        return (routed and idle) or any(
            each.ready and each.name.startswith(own) for each in revisions
        )

    return bool(statuses) and all(map(serves, statuses))


def _replicas(service: Document | None) -> tuple[int, int] | None:
    if service is None:
        return None
    predictor = service["spec"].get("predictor", {})
    # KServe's defaults.
    fewest = int(predictor.get("minReplicas", 1))
    return fewest, max(fewest, int(predictor.get("maxReplicas") or fewest))


def _image(snapshot: NamespaceSnapshot) -> str | None:
    images = (
        str(container["image"])
        for spec in snapshot.specs()
        for container in spec.get("containers") or ()
        if "image" in container
    )
    return next(images, None)


def _warnings(
    snapshot: NamespaceSnapshot, jobs: Sequence[str], claims: Sequence[str]
) -> tuple[Warnings, ...]:
    """Return the warnings about the service, its pods, Jobs and claims, each once, newest first."""
    # Objects that are gone, such as pods of a revision given up, are known only by their names.
    parts = [f"{snapshot.name}-{each}" for each in COMPONENTS]
    beginnings = tuple(f"{each}-" for each in (*parts, *jobs))
    names = {snapshot.name, *parts, *jobs, *claims}
    found: dict[tuple[str, str, str], list[Document]] = {}
    for event in snapshot.all(Kind.EVENTS):
        about = str(event["involvedObject"].get("name", ""))
        message = " ".join(str(event.get("message", "")).split())
        ours = about in names or about.startswith(beginnings)
        if ours and event.get("type") == "Warning" and message not in _SAID_BETTER:
            kind = f"{event['involvedObject'].get('kind')}/{about}"
            found.setdefault((kind, str(event.get("reason", "")), message), []).append(event)
    told = [
        Warnings(
            about=about,
            reason=reason,
            message=message,
            count=sum(int((it.get("series") or it).get("count") or 1) for it in events),
            last=max(map(snapshot.last, events)),
        )
        for (about, reason, message), events in found.items()
    ]
    return tuple(sorted(told, key=lambda each: each.last, reverse=True)[:_MOST_WARNINGS])
