"""What runs: revisions, pods and the claims that they mount."""

from collections.abc import Iterable

from ft_serving.cluster.diagnosis.report.model import Claim, Pod, Revision
from ft_serving.cluster.diagnosis.snapshot import REVISION_LABEL, Kind, Snapshot
from ft_serving.cluster.documents import (
    Document,
    claim_names,
    condition,
    container_statuses,
    label,
    name,
    time,
)


def revisions_of(snapshot: Snapshot) -> tuple[Revision, ...]:
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


def pods_of(snapshot: Snapshot) -> tuple[Pod, ...]:
    """All pods of the service, those of older revisions and those that end among them."""
    pods = [_pod(each) for each in snapshot.own(Kind.PODS)]
    return tuple(sorted(pods, key=lambda pod: (pod.created, pod.name), reverse=True))


def claims_of(snapshot: Snapshot) -> tuple[Claim, ...]:
    """The claims that the newest specification mounts."""
    wanted = sorted({claim for spec in snapshot.specs() for claim in claim_names(spec)})
    known = {name(each): each for each in snapshot.all(Kind.CLAIMS)}
    return tuple(_claim(each, known.get(each)) for each in wanted)


def _revision(snapshot: Snapshot, revision: Document, traffic: int | None) -> Revision:
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


def _deployment(snapshot: Snapshot, deployment: Document) -> Revision:
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


def _live(snapshot: Snapshot) -> Iterable[Document]:
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
