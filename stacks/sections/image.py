"""The section of the images."""

from collections.abc import Mapping
from typing import Any

from stacks.sections.base import Section, setting

_REGISTRY_PATTERN = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?$"
_DIGEST_PATTERN = r"^[a-z0-9][a-z0-9.:_/-]*@sha256:[0-9a-f]{64}$"


class ImageSource(Section):
    """An image that exists, or the arguments of one that is built from `images/`."""

    existing: str | None = setting(
        "An image by its digest.",
        default=None,
        must="be an image by its digest, because tags move",
        use="HOST/NAME@sha256:DIGEST",
        pattern=_DIGEST_PATTERN,
    )
    args: Mapping[str, str] = setting(
        "Build arguments, such as BASE_IMAGE and WHEELS_IMAGE (docs/images.md).",
        default={},
        must="be names and texts",
        use="BASE_IMAGE: HOST/NAME@sha256:DIGEST",
    )


_SOURCE: dict[str, Any] = {
    "default": ImageSource(),
    "must": "be an existing image or build arguments",
    "use": "existing: HOST/NAME@sha256:DIGEST, or args",
}


class Images(Section):
    """The registry and the images. The password is the Pulumi secret `registryPassword`."""

    registry: str = setting(
        "Host and port of the registry that built images are pushed to and pulled from.",
        must="be a host, with a port where it has one",
        use="one such as ghcr.io or localhost:5000",
        pattern=_REGISTRY_PATTERN,
    )
    folder: str = setting(
        "Path of the images in the registry.",
        default="ft-serving",
        must="be a path of lower-case names",
        use="one such as team/ft-serving",
        pattern=r"^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*$",
    )
    username: str | None = setting(
        "User of a private registry.",
        default=None,
        must="be a text without spaces and colons",
        use="the registry's user or token name",
        pattern=r"^[^\s:]+$",
    )
    server: ImageSource = setting("Triton with its backend.", **_SOURCE)
    weights: ImageSource = setting("The Job that downloads and converts.", **_SOURCE)
    client: ImageSource = setting("The client, which asks the golden question.", **_SOURCE)

    openai: ImageSource = setting("The OpenAI API, with serving.openai.", **_SOURCE)

    def repository(self, name: str) -> str:
        """Return the repository of the image of a folder below `images/`."""
        return f"{self.registry}/{self.folder}/{name}"
