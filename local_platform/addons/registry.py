"""Pushes images to the platform's registry, by the few requests that pushing takes.

https://github.com/opencontainers/distribution-spec owns them. The registry is the platform's own,
on this machine's loopback: no TLS, no credentials.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urljoin

import urllib3

from local_platform.addons.oci import MANIFEST_TYPE, PackedImage, digest_of
from local_platform.errors import PlatformError

_TIMEOUT: Final = 60.0  # Seconds; the registry answers a push once the layer is on disk.


class RegistryClient:
    """A client of one registry. Threads may share it."""

    def __init__(self, address: str) -> None:
        self._address = address

    def digest(self, repository: str, tag: str) -> str | None:
        """Return the digest that a tag stands for, or None if the registry does not have it.

        Raises:
            PlatformError: The registry does not answer, or answers with an error.
        """
        accepted = {"Accept": MANIFEST_TYPE}
        wanted = (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
        answer = self._ask("HEAD", f"{repository}/manifests/{tag}", *wanted, headers=accepted)
        return answer.headers.get("Docker-Content-Digest")

    def push(self, repository: str, tag: str, image: PackedImage) -> str:
        """Store an image under a tag; return the digest of its manifest.

        Raises:
            PlatformError: The registry does not answer, or answers with an error.
        """
        for digest, content in (
            (image.layer.digest, image.layer.path),
            (digest_of(image.config), image.config),
        ):
            blob, wanted = f"{repository}/blobs/{digest}", (HTTPStatus.OK, HTTPStatus.NOT_FOUND)
            if self._ask("HEAD", blob, *wanted).status == HTTPStatus.OK:
                continue
            begun = self._ask("POST", f"{repository}/blobs/uploads/", HTTPStatus.ACCEPTED)
            target = begun.headers["Location"]
            query = urlencode({"digest": digest})
            place = f"{target}{'&' if '?' in target else '?'}{query}"
            headers = {"Content-Type": "application/octet-stream"}
            self._ask("PUT", place, HTTPStatus.CREATED, body=content, headers=headers)
        headers = {"Content-Type": MANIFEST_TYPE}
        path = f"{repository}/manifests/{tag}"
        self._ask("PUT", path, HTTPStatus.CREATED, body=image.manifest, headers=headers)
        return digest_of(image.manifest)

    def _ask(
        self,
        method: str,
        path: str,
        *wanted: HTTPStatus,
        body: Path | bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> urllib3.BaseHTTPResponse:
        url = urljoin(f"http://{self._address}/v2/", path)
        size = body.stat().st_size if isinstance(body, Path) else len(body)
        sent = {**(headers or {}), "Content-Length": str(size)}
        with ExitStack() as opened:
            content = opened.enter_context(body.open("rb")) if isinstance(body, Path) else body
            try:
                answer = urllib3.request(
                    method, url, body=content, headers=sent, retries=False, timeout=_TIMEOUT
                )
            except urllib3.exceptions.HTTPError as exc:
                raise PlatformError(
                    f"the registry at {self._address} did not answer {method} {url}: {exc}; "
                    "its log: python -m local_platform logs registry"
                ) from exc
        if answer.status not in wanted:
            raise PlatformError(
                f"the registry at {self._address} answered {method} {url} with {answer.status}: "
                f"{answer.data.decode(errors='replace').strip()}"
            )
        return answer
