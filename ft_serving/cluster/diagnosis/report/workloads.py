"""What runs: revisions, pods, the claims that they mount, and the release that they serve."""

from collections.abc import Iterable

from ft_serving.cluster.diagnosis.report.model import Claim, Pod, Release, Revision
from ft_serving.cluster.diagnosis.snapshot import REVISION_LABEL, Kind, NamespaceSnapshot
from ft_serving.cluster.documents import (
    Document,
    annotation,
    claim_names,
    condition,
    container_statuses,
    label,
    name,
    time,
)
from ft_serving.cluster.job_labels import (
    COMPUTE_DTYPE,
    DTYPE,
    MODEL,
    PIPELINE_PARALLEL,
    STREAMING,
    TENSOR_PARALLEL,
    prepares,
)

_REPOSITORY = "--model-repository="


def revisions_of(snapshot: NamespaceSnapshot) -> tuple[Revision, ...]:
    """The newest revision, and those with pods or requests; in Standard mode the Deployment."""
    newest = snapshot.newest_revision()
    if not newest:
        return tuple(_deployment(snapshot, each) for each in snapshot.own(Kind.DEPLOYMENTS))
    shares = {
        target["revisionName"]: int(target.get("percent") or 0)
        for service in snapshot.own(Kind.KNATIVE_SERVICES)
        for target in service.get("status", {}).get("traffic") or ()
        if "revisionName" in target
    }
    found = [
        _revision(snapshot, each, shares.get(name(each), 0) if shares else None)
        for each in snapshot.own(Kind.REVISIONS)
    ]
    shown = (each for each in found if each.name == newest or each.running or each.traffic)
    return tuple(sorted(shown, key=lambda each: each.name, reverse=True))


def pods_of(snapshot: NamespaceSnapshot) -> tuple[Pod, ...]:
    """All pods of the service, those of older revisions and those that end among them."""
    pods = [_pod(each) for each in snapshot.own(Kind.PODS)]
    return tuple(sorted(pods, key=lambda pod: (pod.created, pod.name), reverse=True))


def claims_of(snapshot: NamespaceSnapshot) -> tuple[Claim, ...]:
    """The claims that the newest specification mounts."""
    wanted = sorted({claim for spec in snapshot.specs() for claim in claim_names(spec)})
    known = {name(each): each for each in snapshot.all(Kind.CLAIMS)}
    return tuple(_claim(each, known.get(each)) for each in wanted)


def release_of(snapshot: NamespaceSnapshot) -> Release | None:
    """The release that the newest specification names; None where it names none.

    Args:
        snapshot: What there is.
    """
    names = [
        word.removeprefix(_REPOSITORY).rstrip("/").rpartition("/")[2]
        for spec in snapshot.specs()
        for container in spec.get("containers") or ()
        for word in container.get("args") or ()
        if word.startswith(_REPOSITORY)
    ]
    if not names:
        return None
    job = next((each for each in snapshot.all(Kind.JOBS) if prepares(each, names[0])), None)
    return Release(name=names[0]) if job is None else _described(names[0], job)


def _revision(snapshot: NamespaceSnapshot, revision: Document, traffic: int | None) -> Revision:
    pods = [each for each in _live(snapshot) if label(each, REVISION_LABEL) == name(revision)]
    ready = condition(revision, "Ready")
    state = "ready" if ready.get("status") == "True" else str(ready.get("reason", "beginning"))
    if condition(revision, "Active").get("reason") == "NoTraffic":
        state = "idle"
    return Revision(
        name=name(revision),
        wanted=revision.get("status", {}).get("desiredReplicas"),
        running=_running(pods),
        ready=_ready(pods),
        traffic=traffic,
        state=state,
    )


def _deployment(snapshot: NamespaceSnapshot, deployment: Document) -> Revision:
    pods = list(_live(snapshot))
    progress = condition(deployment, "Progressing")
    done = progress.get("reason") == "NewReplicaSetAvailable"
    return Revision(
        name=name(deployment),
        wanted=deployment["spec"].get("replicas"),
        running=_running(pods),
        ready=_ready(pods),
        traffic=None,
        state="ready" if done else str(progress.get("reason", "beginning")),
    )


def _live(snapshot: NamespaceSnapshot) -> Iterable[Document]:
    return (each for each in snapshot.own(Kind.PODS) if "deletionTimestamp" not in each["metadata"])


def _pod(pod: Document) -> Pod:
    statuses = container_statuses(pod)
    return Pod(
        name=name(pod),
        state=_pod_state(pod, statuses),
        node=pod["spec"].get("nodeName"),
        restarts=sum(each.get("restartCount", 0) for each in statuses),
        created=time(pod["metadata"]["creationTimestamp"]),
        last_end=_last_end(statuses),
    )


def _pod_state(pod: Document, statuses: Iterable[Document]) -> str:
    if "deletionTimestamp" in pod["metadata"]:
        return "Ending"
    for status in statuses:
        reason = status["state"].get("waiting", {}).get("reason")
        if reason and not status["ready"]:
            return str(reason)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason", "Pending"))
    phase = str(pod.get("status", {}).get("phase", "Pending"))
    ready = condition(pod, "Ready").get("status") == "True"
    return f"{phase}, not ready" if phase == "Running" and not ready else phase


def _last_end(statuses: Iterable[Document]) -> str | None:
    ends = [
        (ended.get("finishedAt") or "", f"{status['name']}: {_end(ended)}")
        for status in statuses
        for ended in (
            status["state"].get("terminated"),
            (status.get("lastState") or {}).get("terminated"),
        )
        if ended
    ]
    return max(ends)[1] if ends else None


def _end(ended: Document) -> str:
    return f"{ended.get('reason', 'Error')}, exit code {ended['exitCode']}"


def _running(pods: Iterable[Document]) -> int:
    return sum(pod.get("status", {}).get("phase") == "Running" for pod in pods)


def _ready(pods: Iterable[Document]) -> int:
    return sum(condition(pod, "Ready").get("status") == "True" for pod in pods)


def _claim(claim: str, document: Document | None) -> Claim:
    if document is None:
        return Claim(name=claim, phase="missing", size=None, storage_class=None, access_modes=())
    spec, status = document["spec"], document.get("status", {})
    sizes = status.get("capacity") or spec.get("resources", {}).get("requests", {})
    return Claim(
        name=claim,
        phase=str(status.get("phase", "Pending")),
        size=sizes.get("storage"),
        storage_class=spec.get("storageClassName"),
        access_modes=tuple(spec.get("accessModes") or ()),
    )


def _described(release: str, job: Document) -> Release:
    return Release(
        name=release,
        model=annotation(job, MODEL) or None,
        dtype=annotation(job, DTYPE) or None,
        compute_dtype=annotation(job, COMPUTE_DTYPE) or None,
        tensor_parallel=int(annotation(job, TENSOR_PARALLEL) or 1),
        pipeline_parallel=int(annotation(job, PIPELINE_PARALLEL) or 1),
        streaming=annotation(job, STREAMING) == "true",
    )
