"""Jobs: ready when they succeeded."""

from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.readiness.pods import PodErrors
from local_platform.plugins.kubernetes.readiness.state import (
    READY,
    State,
    condition,
    failed,
    label,
    waiting,
)


class JobCheck:
    """Follows one Job, and remembers its pods' errors: the Job's controller deletes failed pods."""

    def __init__(self) -> None:
        self._errors = PodErrors()
        self._problems: dict[str, tuple[str, ...]] = {}

    def __call__(self, job: Object, cluster: Cluster) -> State:
        """The Job's state; a suspended one waits for whoever resumes it."""
        complete, broken = condition(job, "Complete"), condition(job, "Failed")
        if complete is not None and complete["status"] == "True":
            return READY
        self._remember(job, cluster)
        seen = tuple(problem for found in self._problems.values() for problem in found)
        if broken is not None and broken["status"] == "True":
            reason = f"[{broken.get('reason')}] {broken.get('message', '')}".rstrip()
            return failed(f"{label(job)} failed", (*seen, reason))
        return waiting(_progress(job), seen)

    def _remember(self, job: Object, cluster: Cluster) -> None:
        metadata = job["metadata"]
        selector = f"batch.kubernetes.io/controller-uid={metadata['uid']}"
        for pod in cluster.list("v1", "Pod", metadata["namespace"], selector):
            found = self._errors.of([pod], cluster)
            if found:
                self._problems[pod["metadata"]["uid"]] = found


def _progress(job: Object) -> str:
    status = job.get("status") or {}
    counts = " | ".join(
        f"{name.capitalize()}: {status.get(name, 0)}" for name in ("active", "succeeded", "failed")
    )
    return f"Waiting for {label(job)} to succeed ({counts})"
