"""The last warnings about a deployment, each told once."""

from collections.abc import Iterable
from datetime import datetime

from ft_serving.cluster.diagnosis.report.model import Warnings
from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.documents import Document

_MOST = 50
"""More do not help, and every one may be long."""

_SAID_BETTER = ("Error: ErrImagePull", "Error: ImagePullBackOff")
"""kubelet's, beside a warning that has the registry's reason."""


def warnings_of(
    snapshot: NamespaceSnapshot, jobs: Iterable[str], claims: Iterable[str]
) -> list[Warnings]:
    """Warnings about the service, its pods, Jobs and claims, the last one first.

    Args:
        snapshot: What there is.
        jobs: Names of its Jobs.
        claims: Names of its claims.
    """
    # Objects that are gone, as pods of a revision given up, are known by their names alone.
    beginnings = tuple(f"{each}-" for each in (f"{snapshot.name}-predictor", *jobs))
    names = {snapshot.name, f"{snapshot.name}-predictor", *jobs, *claims}
    found: dict[tuple[str, str, str], list[Document]] = {}
    for event in snapshot.all(Kind.EVENTS):
        about = str(event["involvedObject"].get("name", ""))
        if event.get("type") == "Warning" and (about in names or about.startswith(beginnings)):
            kind = f"{event['involvedObject'].get('kind')}/{about}"
            message = " ".join(str(event.get("message", "")).split())
            if message not in _SAID_BETTER:
                found.setdefault((kind, str(event.get("reason", "")), message), []).append(event)
    told = [
        Warnings(
            about=about,
            reason=reason,
            message=message,
            count=sum(_count(event) for event in events),
            last=max(_last(snapshot, event) for event in events),
        )
        for (about, reason, message), events in found.items()
    ]
    return sorted(told, key=lambda each: each.last, reverse=True)[:_MOST]


def _count(event: Document) -> int:
    return int((event.get("series") or event).get("count") or 1)


def _last(snapshot: NamespaceSnapshot, event: Document) -> datetime:
    return snapshot.happened(event)[1]
