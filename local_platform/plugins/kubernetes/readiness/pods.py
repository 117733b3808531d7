"""What is wrong with pods, as their statuses and logs tell it."""

from collections.abc import Iterator

from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.errors import ClusterError
from local_platform.plugins.kubernetes.readiness.state import (
    READY,
    State,
    condition,
    failed,
    label,
    waiting,
)

_LOG_LINES = 10

_PASSING = frozenset({"ContainerCreating", "PodInitializing"})
"""Reasons to wait that every pod has for a while."""


class PodErrors:
    """Tells what is wrong with pods; reads each log once, however often it is asked."""

    def __init__(self) -> None:
        self._logs: dict[tuple[str, str], str] = {}

    def of(self, pods: list[Object], cluster: Cluster) -> tuple[str, ...]:
        """The errors of pods, one line or one quotation each."""
        return tuple(problem for pod in pods for problem in self._of(pod, cluster))

    def _of(self, pod: Object, cluster: Cluster) -> Iterator[str]:
        name = pod["metadata"]["name"]
        scheduled = condition(pod, "PodScheduled")
        if scheduled is not None and scheduled["status"] == "False":
            yield f"[Pod {name}]: [{scheduled.get('reason')}] {scheduled.get('message')}"
        status = pod.get("status") or {}
        for container in [
            *(status.get("initContainerStatuses") or []),
            *(status.get("containerStatuses") or []),
        ]:
            yield from self._of_container(pod, container, cluster)

    def _of_container(self, pod: Object, container: Object, cluster: Cluster) -> Iterator[str]:
        name = pod["metadata"]["name"]
        state = container.get("state") or {}
        if "waiting" in state and state["waiting"].get("reason") not in _PASSING:
            told = state["waiting"]
            yield f"[Pod {name}]: [{told.get('reason')}] {told.get('message', '')}".rstrip()
        ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
        if ended is None or ended["exitCode"] == 0:
            return
        message = (ended.get("message") or "").strip()
        yield (
            f"[Pod {name}]: [{ended.get('reason', 'Error')}] "
            + (message or f"container {container['name']} exited with code {ended['exitCode']}")
        )
        # A message is what the container wants to have told; its log would bury that.
        log = "" if message else self._last_lines(pod, container, ended, cluster)
        if log:
            yield f"[Pod {name}]: last log lines of container {container['name']}:\n{log}"

    def _last_lines(self, pod: Object, container: Object, ended: Object, cluster: Cluster) -> str:
        metadata, name = pod["metadata"], container["name"]
        key = (metadata["uid"], f"{name} {ended.get('containerID')}")
        if key not in self._logs:
            try:
                text = cluster.log(metadata["namespace"], metadata["name"], name, lines=_LOG_LINES)
            except ClusterError:
                # The node may be gone, or the log cleared; the exit code is still worth telling.
                return ""
            self._logs[key] = text.strip()
        return self._logs[key]


def check_pod(errors: PodErrors, pod: Object, cluster: Cluster) -> State:
    """Ready when its containers are, or when it ran to its end."""
    phase = (pod.get("status") or {}).get("phase")
    ready = condition(pod, "Ready")
    if phase == "Succeeded" or (ready is not None and ready["status"] == "True"):
        return READY
    if phase == "Failed":
        return failed(f"{label(pod)} failed", errors.of([pod], cluster))
    return waiting(f"Waiting for {label(pod)} to be ready", errors.of([pod], cluster))


def selected(owner: Object, cluster: Cluster) -> list[Object]:
    """The pods that a workload's selector matches.

    Selectors of expressions are left out: no message is better than that of a stranger's pod.
    """
    labels = ((owner.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    if not labels:
        return []
    selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
    return cluster.list("v1", "Pod", owner["metadata"]["namespace"], selector)
