"""Containers that cannot be started, or that end when they should serve."""

import math
import re
from collections.abc import Iterator

from ft_serving.cluster.diagnosis.snapshot import NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding
from ft_serving.cluster.documents import (
    Document,
    container_statuses,
    containers,
    holds,
    name,
    time,
)

# kubelet's reasons: k8s.io/kubernetes, pkg/kubelet/kuberuntime.
_UNSTARTED = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_NEVER_STARTED = ("StartError", "ContainerCannotRun")
# The container went away with its node's runtime, by no fault of its own.
_LOST = ("Unknown", "ContainerStatusUnknown")
# Ending once may be the fault of something that came up later than the container.
_ENOUGH_ENDS = 2

MOST_LINES = 10
_LONGEST_LINE = 400

# Triton's informational lines, and the tables that it prints.
_NOISE = re.compile(r"[IV]\d{4} [\d:.]+ |[+|]|.*\|\s*$|\s*$")
# Triton: src/core, model_lifecycle.cc. The backend's message ends where Python says where.
_MODEL = re.compile(r"failed to load '([^']+)' version \d+: [\w ]+: (?P<said>.*)\"\s*$")
_PYTHON = re.compile(r"^TritonModelException: |\\n\\nAt:\\n.*")
_REPOSITORY = re.compile(r"^error: creating server: \w+ - (failed to (?!load all models).*)")


def broken_containers(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield containers that cannot be created, end again and again, or do not get ready."""
    for pod in snapshot.pods():
        findings = [
            finding
            for status in container_statuses(pod)
            for finding in (_unstarted(pod, status), _ended(snapshot, pod, status))
            if finding is not None
        ]
        yield from findings or _unready(snapshot, pod)


def unstarted_containers(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield containers that cannot be created."""
    for pod in snapshot.pods():
        for status in container_statuses(pod):
            finding = _unstarted(pod, status)
            if finding is not None:
                yield finding


def bad_end(status: Document) -> Document | None:
    """Return how a container that is not ready ended last; None where it has not ended.

    A server should not end at all, so exit code 0 counts, too. An init container that is done is
    ready.
    """
    if status["ready"]:
        return None
    last: Document = status.get("lastState", {})
    ended: Document | None = status["state"].get("terminated") or last.get("terminated")
    return ended


def telling_lines(log: str) -> str:
    """Return the last lines of a log, without those that say nothing about a failure."""
    lines = [line for line in log.splitlines() if not _NOISE.match(line)]
    return "\n".join(line[:_LONGEST_LINE] for line in lines[-MOST_LINES:])


def model_failure(log: str) -> str | None:
    """Return why Triton could not load a model, in its backend's words; None if it did not say."""
    for line in reversed(log.splitlines()):
        if match := _MODEL.search(line):
            return _PYTHON.sub("", match["said"]).replace("\\n", "\n").strip()
        if match := _REPOSITORY.search(line):
            return match[1]
    return None


def _unstarted(pod: Document, status: Document) -> Finding | None:
    waiting = status["state"].get("waiting", {})
    if waiting.get("reason") not in _UNSTARTED:
        return None
    return Finding(
        Cause.CONTAINER,
        f"Container {status['name']} of pod {name(pod)} cannot be created "
        f"({waiting['reason']}): {waiting.get('message', 'no reason given')}",
        time(pod["status"]["startTime"]),
    )


def _ended(snapshot: NamespaceSnapshot, pod: Document, status: Document) -> Finding | None:
    ended = bad_end(status)
    if ended is None or ended.get("reason") in _LOST:
        return None
    times = status["restartCount"] + ("terminated" in status["state"])
    probe = _probe(snapshot, pod, status["name"])
    again = times >= _ENOUGH_ENDS and "running" not in status["state"]
    # A startup probe's time is all that loading may take: it was spent once, and would be again.
    if not again and not probe.startswith("startup"):
        return None
    cause, message = _cause(snapshot, pod, status, ended, times, probe)
    end = time(ended["finishedAt"]) if ended.get("finishedAt") else snapshot.begun
    # A release that was mended shows at the next start, for which kubelet waits a while.
    start = ended.get("startedAt")
    mended = cause is Cause.MODEL and start is not None and snapshot.written_after(time(start))
    return Finding(cause, message, end, math.inf if mended else None)


def _unready(snapshot: NamespaceSnapshot, pod: Document) -> Iterator[Finding]:
    """Yield a pod that runs and whose probes fail: it may be a slow start until a deadline."""
    statuses = pod.get("status", {}).get("containerStatuses") or ()
    failures = snapshot.events("Pod", name(pod), "Unhealthy")
    if not failures or not all("running" in each["state"] for each in statuses):
        return
    if holds(pod, "Ready"):
        return
    logs = sorted(snapshot.logs.items())
    lines = filter(None, (telling_lines(log) for (of, _), log in logs if of == name(pod)))
    wrote = "\n".join(lines)
    yield Finding(
        Cause.PROBE,
        f"Pod {name(pod)} runs and is not ready: {failures[-1]['message'].strip()}"
        + (f". Its last lines:\n{wrote}" if wrote else ""),
        snapshot.first(failures[0]),
        math.inf,
    )


def _cause(
    snapshot: NamespaceSnapshot,
    pod: Document,
    status: Document,
    ended: Document,
    times: int,
    probe: str,
) -> tuple[Cause, str]:
    who = f"Container {status['name']} of pod {name(pod)}"
    log = snapshot.logs.get((name(pod), status["name"])) or ended.get("message", "")
    lines = telling_lines(log)
    wrote = f". Its last lines:\n{lines}" if lines else ". It wrote nothing"
    count = f"{times} times so far" if times > 1 else "once so far"
    if ended.get("reason") == "OOMKilled":
        return Cause.MEMORY, (
            f"{who} was killed for its memory (OOMKilled), {count}: its limit is "
            f"{_memory_limit(pod, status['name'])}. Raise it{wrote}"
        )
    said = model_failure(log)
    if said is not None:
        return Cause.MODEL, (
            f"The model cannot be loaded: {said}\nIf its release is missing or damaged, have it "
            "prepared again: pulumi up --replace '**model-download'"
        )
    if probe:
        return Cause.PROBE, f"{who} was killed because its {probe}{wrote}"
    why = f"{ended['exitCode']} ({ended.get('reason', 'Error')})"
    if ended.get("reason") in _NEVER_STARTED:
        return Cause.CONTAINER, f"{who} cannot be run: {ended.get('message', why)}"
    return Cause.CRASH, f"{who} ended with exit code {why}, {count}{wrote}"


def _memory_limit(pod: Document, container: str) -> str:
    specs = (each for each in containers(pod) if each["name"] == container)
    limits = next(specs, {}).get("resources", {}).get("limits", {})
    return str(limits.get("memory", "the node's memory"))


def _probe(snapshot: NamespaceSnapshot, pod: Document, container: str) -> str:
    """Return the probe that kubelet killed a container for, and its last failure; else empty."""
    for event in snapshot.events("Pod", name(pod), "Killing"):
        for kind in ("startup", "liveness"):
            if f"Container {container} failed {kind} probe" in event["message"]:
                failures = [
                    each["message"]
                    for each in snapshot.events("Pod", name(pod), "Unhealthy")
                    if each["message"].lower().startswith(kind)
                ]
                said = failures[-1].partition(": ")[2] if failures else "no reason given"
                return f"{kind} probe failed: {said}"
    return ""
