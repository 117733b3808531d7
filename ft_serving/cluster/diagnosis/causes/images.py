"""Images that cannot be pulled."""

import re
from collections.abc import Iterator
from datetime import datetime

from ft_serving.cluster.diagnosis.snapshot import Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import UNREACHABLE_GRACE_S, Cause, Finding
from ft_serving.cluster.documents import condition, container_statuses, created, name, since

# kubelet's reasons: k8s.io/kubernetes, pkg/kubelet/images/types.go.
_WAITING = (
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
)
# kubelet and containerd wrap the registry's own words in these.
_WRAPPING = re.compile(
    r'^(?:Back-off pulling image "[^"]*"(?:: )?|ErrImagePull: |rpc error: code = \w+ desc = |'
    r'failed to pull and unpack image "[^"]*": |failed to resolve reference "[^"]*": |'
    r"failed to do request: |failed to resolve image to digest: )+"
)
_KNATIVE = re.compile(r'Unable to fetch image "([^"]*)": (.*)', re.DOTALL)

_REMEDIES = (
    (
        re.compile(r"unauthorized|denied|forbidden|\b40[13]\b|no basic auth", re.IGNORECASE),
        "The registry wants credentials: give the pod's service account an imagePullSecret",
    ),
    (re.compile("no such host"), "Is the registry's name right?"),
    (
        re.compile("not found|manifest unknown|NAME_UNKNOWN", re.IGNORECASE),
        "Push it, or name one that the registry has",
    ),
    (re.compile("nvalid"), "Correct its name"),
)
_UNREACHABLE = "Can the nodes reach the registry, and do they trust its certificate?"


def unpullable_images(snapshot: NamespaceSnapshot) -> Iterator[Finding]:
    """Yield images that a node could not pull, or whose digest Knative could not look up."""
    for pod in snapshot.pods():
        for status in container_statuses(pod):
            waiting = status["state"].get("waiting", {})
            if waiting.get("reason") in _WAITING:
                failures = (
                    snapshot.first(event)
                    for event in snapshot.events("Pod", name(pod), "Failed")
                    if "Failed to pull image" in event["message"]
                )
                reason = waiting.get("message") or waiting["reason"]
                yield _unpullable(status["image"], reason, next(failures, created(pod)))
    newest = snapshot.newest_revision()
    for revision in snapshot.own(Kind.REVISIONS):
        ready = condition(revision, "Ready")
        match = _KNATIVE.match(ready.get("message", ""))
        if match and name(revision) == newest and ready["status"] == "False":
            yield _unpullable(match[1], match[2], since(ready, snapshot.begun))


def _unpullable(image: str, said: str, begin: datetime) -> Finding:
    reason = _WRAPPING.sub("", said) or said
    remedy = next((each for pattern, each in _REMEDIES if pattern.search(reason)), None)
    return Finding(
        Cause.IMAGE,
        f"Image {image} cannot be pulled: {reason.rstrip('.')}. {remedy or _UNREACHABLE}",
        begin,
        None if remedy else UNREACHABLE_GRACE_S,
    )
