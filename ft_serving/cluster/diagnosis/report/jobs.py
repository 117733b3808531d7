"""The Jobs of a stack: the model download, its gate, the smoke test, the release collection."""

import re
from collections.abc import Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.diagnose import diagnose_job
from ft_serving.cluster.diagnosis.report.model import JobPhase, StackJob
from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import State
from ft_serving.cluster.documents import Document, name, time
from ft_serving.cluster.job_labels import JobRole, role_of

# How `diagnose_job` begins: the phase says as much.
_FAILED = re.compile(r"^It failed(?: \(\w*\))?: ")

_PHASES = {
    State.READY: JobPhase.SUCCEEDED,
    State.PENDING: JobPhase.RUNNING,
    State.FAILED: JobPhase.FAILED,
}


def jobs_of(snapshot: NamespaceSnapshot, now: datetime) -> tuple[StackJob, ...]:
    """The newest Job of each role, in the order in which they run.

    Args:
        snapshot: What there is.
        now: When it was read.
    """
    newest: dict[JobRole, Document] = {}
    for job in sorted(snapshot.all(Kind.JOBS), key=_created):
        role = role_of(job, snapshot.name)
        if role is not None:
            newest[role] = job
    return tuple(_job(snapshot, role, newest[role], now) for role in JobRole if role in newest)


def job_snapshot(snapshot: NamespaceSnapshot, job: str) -> JobSnapshot:
    """The part of a snapshot that is about a Job."""
    return JobSnapshot(
        namespace=snapshot.namespace,
        name=job,
        begun=snapshot.begun,
        objects=snapshot.objects,
        logs=snapshot.logs,
    )


def _job(snapshot: NamespaceSnapshot, role: JobRole, job: Document, now: datetime) -> StackJob:
    about = job_snapshot(snapshot, name(job))
    verdict = diagnose_job(about, now)
    phase = _PHASES[verdict.state]
    wrote = next(iter(_last_lines(about)), "")
    told = phase is JobPhase.FAILED or verdict.findings or not wrote
    return StackJob(
        role=role,
        name=name(job),
        phase=phase,
        created=_created(job),
        said=_FAILED.sub("", verdict.summary) if told else wrote,
        cause=verdict.findings[0].cause if verdict.findings else None,
    )


def _created(job: Document) -> datetime:
    return time(job["metadata"]["creationTimestamp"])


def _last_lines(snapshot: JobSnapshot) -> Iterator[str]:
    """The last telling line of each of the Job's pods, newest first."""
    pods = sorted(
        snapshot.pods(), key=lambda pod: str(pod["metadata"]["creationTimestamp"]), reverse=True
    )
    for pod in pods:
        for (of, _), log in snapshot.logs.items():
            # A release's folder, which `ft-serving weights prepare` prints for programs.
            lines = [line for line in log.splitlines() if line.strip() and line[0] != "/"]
            if of == name(pod) and lines:
                yield lines[-1].strip()
