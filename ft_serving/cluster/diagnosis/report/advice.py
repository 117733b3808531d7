"""Advises on the next step, by the state of a deployment."""

from collections.abc import Iterator, Sequence

from ft_serving.cluster.diagnosis.report.model import JobPhase, Pod, StackJob, Standing
from ft_serving.cluster.diagnosis.verdict import Cause
from ft_serving.cluster.job_labels import JobRole

_SETTINGS = {
    Cause.QUOTA: "resources, replicas, gpu",
    Cause.CLAIM: "storage.storageClass, storage.accessMode, storage.size",
    Cause.MOUNT: "storage.storageClass, storage.accessMode",
    Cause.UNSCHEDULABLE: "gpu.type, scheduling, resources",
    Cause.IMAGE: "image.registry, image.username, registryPassword",
    Cause.JOB: "model, hub.endpoint, hubToken",
    Cause.MEMORY: "resources.memory",
    Cause.PROBE: "coldStart.budgetSeconds, resources.cpu",
    Cause.DEADLINE: "coldStart.budgetSeconds",
}
"""The settings of a stack (docs/configuration.md) that mend a cause."""

_LOGGED = (Cause.MODEL, Cause.MEMORY, Cause.CRASH, Cause.PROBE, Cause.DEADLINE)
"""Causes that a container's log says more about."""


def advice(
    standing: Standing,
    cause: Cause | None,
    namespace: str,
    pods: Sequence[Pod],
    jobs: Sequence[StackJob],
) -> Iterator[str]:
    """Yield sentences, the most helpful first; `pods` has the newest pod first."""
    kubectl = f"kubectl --namespace {namespace}"
    match standing:
        case Standing.READY:
            yield "Ask it: `pulumi stack output call` prints the command"
        case Standing.SCALED_TO_ZERO:
            yield "The next request starts a replica; `ft-serving generate` waits for it"
            yield "To keep one running: replicas.min: 1, then `pulumi up`"
        case Standing.ON_ITS_WAY:
            yield "Wait, and look again"
            running = [
                f"job/{job.name}"
                for job in jobs
                if job.phase is JobPhase.RUNNING and job.role is JobRole.DOWNLOAD
            ]
            servers = [f"{pod.name} --container kserve-container" for pod in pods[:1]]
            for each in running or servers:
                yield f"{kubectl} logs --follow {each}"
        case Standing.FAILED:
            yield from _mending(cause, kubectl, pods)
            for job in jobs:
                if job.phase is JobPhase.FAILED and job.role is not JobRole.DOWNLOAD_GATE:
                    yield f"{kubectl} logs job/{job.name}"


def _mending(cause: Cause | None, kubectl: str, pods: Sequence[Pod]) -> Iterator[str]:
    if cause is Cause.MISSING:
        yield "`pulumi up` makes it; --namespace and --inference-service name another"
    elif cause is Cause.MODEL:
        yield "`pulumi up` prepares a release anew that is missing or damaged"
    elif cause in _SETTINGS:
        yield f"Change {_SETTINGS[cause]} as needed, then `pulumi up`"
    else:
        yield "Mend the cause, then `pulumi up`"
    if pods and cause in _LOGGED:
        previous = " --previous" if pods[0].restarts else ""
        yield f"{kubectl} logs {pods[0].name} --container kserve-container{previous}"
    elif pods and cause is not None:
        yield f"{kubectl} describe pod {pods[0].name}"
