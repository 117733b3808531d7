"""Reports revisions, pods, the claims that they mount, and the release that they serve."""

from collections.abc import Iterable, Sequence

from ft_serving.cluster.diagnosis.report.model import Claim, Pod, Release, Revision
from ft_serving.cluster.diagnosis.snapshot import REVISION_LABEL, Kind, NamespaceSnapshot
from ft_serving.cluster.documents import (
    Document,
    annotation,
    claim_names,
    condition,
    container_statuses,
    created,
    holds,
    is_ending,
    label,
    name,
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
    """Return each component's newest revision, and those with pods or requests; or Deployments."""
    newest = snapshot.newest_revisions()
    live = [pod for pod in snapshot.own(Kind.PODS) if not is_ending(pod)]
    if not newest:
        return tuple(_deployment(each, live) for each in snapshot.own(Kind.DEPLOYMENTS))
    shares = {
        target["revisionName"]: int(target.get("percent") or 0)
        for service in snapshot.own(Kind.KNATIVE_SERVICES)
        for target in service.get("status", {}).get("traffic") or ()
        if "revisionName" in target
    }
    found = [
        _revision(each, live, shares.get(name(each), 0) if shares else None)
        for each in snapshot.own(Kind.REVISIONS)
    ]
    shown = (each for each in found if each.name in newest or each.running or each.traffic)
    return tuple(sorted(shown, key=lambda each: each.name, reverse=True))


def pods_of(snapshot: NamespaceSnapshot) -> tuple[Pod, ...]:
    """Return all pods of the service, with those of older revisions and those that end."""
    pods = [_pod(each) for each in snapshot.own(Kind.PODS)]
    return tuple(sorted(pods, key=lambda pod: (pod.created, pod.name), reverse=True))


def claims_of(snapshot: NamespaceSnapshot) -> tuple[Claim, ...]:
    """Return the claims that the newest specification mounts."""
    wanted = sorted({claim for spec in snapshot.specs() for claim in claim_names(spec)})
    known = {name(each): each for each in snapshot.all(Kind.CLAIMS)}
    return tuple(
        _claim(known[each]) if each in known else Claim(name=each, phase="missing")
        for each in wanted
    )


def release_of(snapshot: NamespaceSnapshot) -> Release | None:
    """Return the release that the newest specification names; None if it names none."""
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
    if job is None:
        return Release(name=names[0])
    return Release(
        name=names[0],
        model=annotation(job, MODEL) or None,
        dtype=annotation(job, DTYPE) or None,
        compute_dtype=annotation(job, COMPUTE_DTYPE) or None,
        tensor_parallel=int(annotation(job, TENSOR_PARALLEL) or 1),
        pipeline_parallel=int(annotation(job, PIPELINE_PARALLEL) or 1),
        streaming=annotation(job, STREAMING) == "true",
    )


def _revision(revision: Document, live: Sequence[Document], traffic: int | None) -> Revision:
    pods = [each for each in live if label(each, REVISION_LABEL) == name(revision)]
    reason = str(condition(revision, "Ready").get("reason", "beginning"))
    state = "ready" if holds(revision, "Ready") else reason
    if condition(revision, "Active").get("reason") == "NoTraffic":
        state = "idle"
    wanted = revision.get("status", {}).get("desiredReplicas")
    return _with_pods(name(revision), wanted, pods, state, traffic)


def _deployment(deployment: Document, live: Sequence[Document]) -> Revision:
    pods = [each for each in live if name(each).startswith(f"{name(deployment)}-")]
    reason = str(condition(deployment, "Progressing").get("reason", "beginning"))
    state = "ready" if reason == "NewReplicaSetAvailable" else reason
    return _with_pods(name(deployment), deployment["spec"].get("replicas"), pods, state)


def _with_pods(
    named: str, wanted: int | None, pods: Sequence[Document], state: str, traffic: int | None = None
) -> Revision:
    return Revision(
        name=named,
        wanted=wanted,
        running=sum(pod.get("status", {}).get("phase") == "Running" for pod in pods),
        ready=sum(holds(pod, "Ready") for pod in pods),
        traffic=traffic,
        state=state,
    )


def _pod(pod: Document) -> Pod:
    statuses = container_statuses(pod)
    return Pod(
        name=name(pod),
        state=_pod_state(pod, statuses),
        node=pod["spec"].get("nodeName"),
        restarts=sum(each.get("restartCount", 0) for each in statuses),
        created=created(pod),
        last_end=_last_end(statuses),
    )


def _pod_state(pod: Document, statuses: Iterable[Document]) -> str:
    if is_ending(pod):
        return "Ending"
    for status in statuses:
        reason = status["state"].get("waiting", {}).get("reason")
        if reason and not status["ready"]:
            return str(reason)
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        return str(scheduled.get("reason", "Pending"))
    phase = str(pod.get("status", {}).get("phase", "Pending"))
    return "Running, not ready" if phase == "Running" and not holds(pod, "Ready") else phase


def _last_end(statuses: Iterable[Document]) -> str | None:
    ends = [
        (
            ended.get("finishedAt") or "",
            f"{status['name']}: {ended.get('reason', 'Error')}, exit code {ended['exitCode']}",
        )
        for status in statuses
        for state in (status["state"], status.get("lastState") or {})
        if (ended := state.get("terminated"))
    ]
    return max(ends)[1] if ends else None


def _claim(claim: Document) -> Claim:
    spec, status = claim["spec"], claim.get("status", {})
    sizes = status.get("capacity") or spec.get("resources", {}).get("requests", {})
    return Claim(
        name=name(claim),
        phase=str(status.get("phase", "Pending")),
        size=sizes.get("storage"),
        storage_class=spec.get("storageClassName"),
        access_modes=tuple(spec.get("accessModes") or ()),
    )
