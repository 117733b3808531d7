"""Images that cannot be pulled."""

import re
from collections.abc import Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import GRACE_S, UNREACHABLE_GRACE_S, Cause, Finding, found
from ft_serving.cluster.documents import (
    Document,
    condition,
    container_statuses,
    name,
    since,
    time,
)

# What kubelet gives as the reason: k8s.io/kubernetes, pkg/kubelet/images/types.go.
_WAITING = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
# What wraps the registry's own words, in kubelet and containerd.
_WRAPPING = re.compile(
    r'^(?:Back-off pulling image "[^"]*"(?:: )?|ErrImagePull: |rpc error: code = \w+ desc = |'
    r'failed to pull and unpack image "[^"]*": |failed to resolve reference "[^"]*": |'
    r"failed to do request: |failed to resolve image to digest: )+"
)
_KNATIVE = re.compile(r'Unable to fetch image "([^"]*)": (.*)', re.DOTALL)
_ABSENT = re.compile(r"not found|manifest unknown|NAME_UNKNOWN", re.IGNORECASE)
_DENIED = re.compile(r"unauthorized|denied|forbidden|\b40[13]\b|no basic auth", re.IGNORECASE)


def unpullable_images(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Images that a node could not pull, or whose digest Knative could not look up."""
    for pod in snapshot.pods():
        for status in container_statuses(pod):
            waiting = status["state"].get("waiting", {})
            if waiting.get("reason") in _WAITING:
                reason = waiting.get("message") or waiting["reason"]
                yield _unpullable(snapshot, status["image"], reason, _first_failure(snapshot, pod))
    newest = snapshot.newest_revision()
    for revision in snapshot.own(Kind.REVISIONS):
        ready = condition(revision, "Ready")
        match = _KNATIVE.match(ready.get("message", ""))
        if match and name(revision) == newest and ready["status"] == "False":
            yield _unpullable(snapshot, match[1], match[2], since(ready, snapshot.begun))


def _first_failure(snapshot: NamespaceSnapshot, pod: Document) -> datetime:
    events = [
        event
        for event in snapshot.events("Pod", name(pod), "Failed")
        if "Failed to pull image" in event["message"]
    ]
    if events:
        return snapshot.happened(events[0])[0]
    return time(pod["metadata"]["creationTimestamp"])


def _unpullable(snapshot: NamespaceSnapshot, image: str, said: str, begin: datetime) -> Finding:
    reason = _WRAPPING.sub("", said) or said
    grace_s = GRACE_S[Cause.IMAGE]
    if _DENIED.search(reason):
        remedy = (
            "The registry wants credentials: give the service account an imagePullSecret that may "
            "read this repository"
        )
    elif "no such host" in reason:
        remedy = "Is the registry's name right?"
    elif _ABSENT.search(reason):
        remedy = "Push it, or name one that the registry has"
    elif "nvalid" in reason:
        remedy = "Correct its name"
    else:
        remedy = "Can the nodes reach the registry, and do they trust its certificate?"
        grace_s = UNREACHABLE_GRACE_S
    return found(
        snapshot,
        Cause.IMAGE,
        f"Image {image} cannot be pulled: {reason.rstrip('.')}. {remedy}",
        since=begin,
        grace_s=grace_s,
    )
