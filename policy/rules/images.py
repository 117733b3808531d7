"""Which images run, and under which names they are pushed."""

import re
from collections.abc import Iterator

from policy.pods import pods
from policy.resource import UNKNOWN, StackResource
from policy.rules.base import ResourceRule

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_BUILT_IMAGE = "docker:index/image:Image"


def _by_digest(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            image = container.document.get("image")
            if image is not UNKNOWN and not _DIGEST.fullmatch(str(image)):
                yield f"{container.path}.image: must be NAME@sha256:DIGEST; got {image}"


def _no_latest(resource: StackResource) -> Iterator[str]:
    name = resource.properties.get("imageName")
    if resource.type != _BUILT_IMAGE or name is UNKNOWN:
        return
    # A colon before the last slash is that of the registry's port.
    tag = str(name).rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield f"imageName: must have a tag that is not moved; got {name}"


RULES = (
    ResourceRule(
        name="images-by-digest",
        description="Pods run images by digest: what a tag names may change.",
        check=_by_digest,
    ),
    ResourceRule(
        name="no-latest-tag",
        description="Built images have a tag of their own, and never `latest`.",
        check=_no_latest,
    ),
)
