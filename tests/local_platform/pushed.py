"""Asks the platform's registry, beside Docker."""

import urllib.request
from http import HTTPStatus
from urllib.error import HTTPError

from local_platform import settings

# Without the type that Docker pushes, the registry makes up an older one, with another digest.
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(repository: str, tag: str = "1") -> str | None:
    """The digest of what Docker pushed under a tag; None if there is no such tag."""
    request = urllib.request.Request(
        f"http://{settings.REGISTRY}/v2/{repository}/manifests/{tag}",
        headers={"Accept": _DOCKER_MANIFEST},
        method="HEAD",
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - always http
            return str(response.headers["Docker-Content-Digest"])
    except HTTPError as exc:
        exc.close()
        if exc.code == HTTPStatus.NOT_FOUND:
            return None
        raise


def delete(repository: str, digest: str) -> None:
    """Deletes a manifest and its tags."""
    request = urllib.request.Request(
        f"http://{settings.REGISTRY}/v2/{repository}/manifests/{digest}", method="DELETE"
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - always http
