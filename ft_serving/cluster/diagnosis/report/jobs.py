"""Reports the Jobs of a stack: the model download, its gate, the smoke test, the collection."""

import re
from datetime import datetime

from ft_serving.cluster.diagnosis.diagnose import diagnose_job
from ft_serving.cluster.diagnosis.report.model import JobPhase, StackJob
from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import State
from ft_serving.cluster.documents import Document, created, name
from ft_serving.cluster.job_labels import JobRole, role_of

# The beginning of `diagnose_job`'s message: the phase says as much.
_FAILED = re.compile(r"^It failed(?: \(\w*\))?: ")

_PHASES = {
    State.READY: JobPhase.SUCCEEDED,
    State.PENDING: JobPhase.RUNNING,
    State.FAILED: JobPhase.FAILED,
}


def jobs_of(snapshot: NamespaceSnapshot, now: datetime) -> tuple[StackJob, ...]:
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
