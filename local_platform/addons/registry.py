"""The few requests of the registry's HTTP interface that pushing an image takes.

https://github.com/opencontainers/distribution-spec. The registry is the platform's own, on this
machine's loopback: no TLS, no credentials.
"""

import http.client
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

from local_platform.addons.oci import MANIFEST_TYPE, PackedImage, digest_of
from local_platform.errors import PlatformError

_TIMEOUT: Final = 60.0  # Seconds; the registry answers a push once the layer is on disk.


class RegistryClient:
    """A client of one registry. Each request has its own connection, so threads may share it."""

    def __init__(self, address: str) -> None:
        self._address = address

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest that a tag stands for, `None` when the registry does not have it.

        Raises:
            PlatformError: The registry does not answer, or answers with an error.
        """
        status, headers, _ = self._ask(
            "HEAD", f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST_TYPE}
        )
        if status == http.client.NOT_FOUND:
            return None
        self._expect(http.client.OK, status, f"asked for {repository}:{tag}")
        return headers["Docker-Content-Digest"]

    def push(self, repository: str, tag: str, image: PackedImage) -> str:
        """Store an image under a tag.

        Returns:
            The digest of its manifest.

        Raises:
            PlatformError: The registry does not answer, or answers with an error.
        """
        self._upload(repository, image.layer.digest, image.layer.path)
        self._upload(repository, digest_of(image.config), image.config)
        status, _, body = self._ask(
            "PUT",
            f"/v2/{repository}/manifests/{tag}",
            body=image.manifest,
            headers={"Content-Type": MANIFEST_TYPE},
        )
        self._expect(http.client.CREATED, status, f"given {repository}:{tag}", body)
        return digest_of(image.manifest)

    def _upload(self, repository: str, digest: str, content: Path | bytes) -> None:
        status, _, _ = self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        if status == http.client.OK:
            return
        status, headers, body = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        self._expect(http.client.ACCEPTED, status, f"asked to take a part of {repository}", body)
        target = urlsplit(headers["Location"])
        query = "&".join(filter(None, (target.query, urlencode({"digest": digest}))))
        status, _, body = self._ask("PUT", f"{target.path}?{query}", body=content)
        self._expect(http.client.CREATED, status, f"given a part of {repository}", body)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Path | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self._address, timeout=_TIMEOUT)
        sent = dict(headers or {})
        if body is not None:
            sent.setdefault("Content-Type", "application/octet-stream")
        try:
            if isinstance(body, Path):
                sent["Content-Length"] = str(body.stat().st_size)
                with body.open("rb") as file:
                    connection.request(method, path, body=file, headers=sent)
            else:
                connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        except (OSError, http.client.HTTPException) as exc:
            raise PlatformError(
                f"the registry at {self._address} did not answer {method} {path}: {exc}; "
                "its log: python -m local_platform logs registry"
            ) from exc
        finally:
            connection.close()

    def _expect(self, wanted: int, got: int, request: str, body: bytes = b"") -> None:
        if got == wanted:
            return
        detail = body.decode(errors="replace").strip()
        raise PlatformError(
            f"the registry at {self._address}, {request}, answered {got} instead of {wanted}"
            + (f": {detail}" if detail else "")
        )
