"""A client of the model hub: the files of a repository at a commit, and the content of each."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote

import urllib3
from urllib3.exceptions import HTTPError, LocationParseError
from urllib3.util import Url, parse_url

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.retry import TRIES, Backoff, TransientError
from ft_serving.core.hub.stream import Stream
from ft_serving.core.hub.transport import (
    OTHER_ENDPOINT,
    HubTransport,
    StatusError,
    host_of,
    reason,
)
from ft_serving.core.proxies import noted
from ft_serving.core.release import is_commit

DEFAULT_ENDPOINT = "https://huggingface.co"
LONGEST_READ_BYTES = 32 << 20

_FOREIGN = "the hub or a proxy before it is broken: set HF_ENDPOINT to another hub or mirror"


def is_model_name(text: str) -> bool:
    """Return whether a text is NAME or OWNER/NAME, as huggingface_hub's `validate_repo_id` has it.

    No part of such a name leads out of a folder.
    """
    pattern = r"(?!.*(--|\.\.|\.git$))(\w[\w.-]*(?<![.-])/)?\w[\w.-]{0,95}(?<![.-])"
    return re.fullmatch(pattern, text, re.ASCII) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """One file of a snapshot.

    Attributes:
        name: Path in the repository, relative and without `..`.
        size: Bytes.
        sha256: Of the content, for files in large-file storage (LFS); else None.
        git_blob: Git's id of the file; for LFS files that of the pointer, not of the content.
    """

    name: str
    size: int
    sha256: str | None
    git_blob: str

    @property
    def digest(self) -> str:
        """The right content's hash, in hex, as `hasher` computes it."""
        return self.sha256 or self.git_blob

    def hasher(self) -> "hashlib._Hash":
        """Return a hash to feed with the whole content, in order."""
        if self.sha256:
            return hashlib.sha256()
        # A blob's id is the SHA-1 of its content behind this header (git-hash-object).
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The files of a repository at one commit (40 hexadecimal digits), by their names."""

    repository: str
    revision: str
    files: Mapping[str, RemoteFile]


class Hub:
    """A client of the Hugging Face Hub or of a mirror with the same addresses.

    It tries every request again, with growing waits, when the connection fails or the hub is
    overloaded. It sends the token only to the endpoint's own scheme, host and port, and no message
    shows it.
    """

    def __init__(
        self, endpoint: str, token: str | None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Check the settings, and connect to nothing yet.

        Args:
            endpoint: The hub's address.
            token: The user's token; None asks without one.
            say: Called with a message for each failure after which the client tries again.

        Raises:
            FtServingError: The endpoint is no http(s) address, or the token cannot be one.
        """
        if "@" in endpoint:
            # Not shown, as it may hold a password.
            raise FtServingError(
                "HF_ENDPOINT: must not hold a user or password; set HF_TOKEN instead"
            )
        try:
            parts = parse_url(endpoint)
        except LocationParseError:
            parts = Url()
        if parts.scheme not in ("http", "https") or not parts.host or parts.query:
            raise FtServingError(
                f"HF_ENDPOINT: must be an address such as {DEFAULT_ENDPOINT}; got {endpoint!r}"
            )
        if token is not None and not re.fullmatch(r"[!-~]+", token):
            raise FtServingError(
                "HF_TOKEN: must be printable ASCII without spaces, as shown once on the hub's page "
                "of access tokens; what was given is not"
            )
        self.endpoint = endpoint.rstrip("/")
        self._token = token
        self._say = say
        self._transport = HubTransport(self.endpoint, token)
        # By the hub's address of a file, the one that it was found at last.
        self._locations: dict[str, str] = {}

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], say: Callable[[str], None] = lambda _: None
    ) -> "Hub":
        """Return the hub at HF_ENDPOINT (default: the public one), with the token in HF_TOKEN.

        Raises:
            FtServingError: As for the constructor.
        """
        endpoint = environment.get("HF_ENDPOINT", "").strip()
        # Tokens from mounted files end in a newline.
        token = environment.get("HF_TOKEN", "").strip()
        return cls(endpoint or DEFAULT_ENDPOINT, token or None, say)

    def snapshot(
        self,
        repository: str,
        revision: str,
        *,
        tries: int = TRIES,
        timeout_s: float | None = None,
    ) -> Snapshot:
        """Ask the hub for a repository's commit and files.

        Args:
            repository: Its name, one that `is_model_name` takes.
            revision: A branch, a tag or a commit.
            tries: How often to ask at most; a user who waits for the answer wants fewer.
            timeout_s: Seconds that the hub may be silent in each try; None for the usual.

        Raises:
            FtServingError: The hub refused or was not reached, or its metadata are incomplete or
                unsafe.
        """
        backoff = Backoff(repository, self._say, tries=tries)
        while True:
            try:
                content = self._metadata(repository, revision, timeout_s)
                break
            except TransientError as exc:
                backoff.wait(exc)
        try:
            return _snapshot(repository, revision, json.loads(content), self.endpoint)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise FtServingError(
                f"{repository}: {self.endpoint} answered with something else than a model's "
                f"metadata ({exc!r}); is HF_ENDPOINT a hub?"
            ) from exc

    def open(
        self, snapshot: Snapshot, name: str, start: int, stop: int
    ) -> tuple[urllib3.BaseHTTPResponse, str]:
        """Ask for the bytes [start, stop) of one of the snapshot's files, from any thread.

        A hub redirects large files to signed addresses elsewhere. The address found last is asked
        for the ranges that follow, which spares the hub a request for each. Once that fails, the
        hub is asked again.

        Returns:
            The response and its host. Its status is 206, or 200 if the server sends the whole file.

        Raises:
            TransientError: Another try may succeed.
            FtServingError: The hub refuses.
        """
        repository, revision = snapshot.repository, snapshot.revision
        url = f"{self.endpoint}/{repository}/resolve/{revision}/{quote(name)}"
        location = self._locations.get(url, url)
        try:
            response, found = self._transport.get(location, {"Range": f"bytes={start}-{stop - 1}"})
            _check_range(response, host_of(found), start, stop, snapshot.files[name].size)
        except StatusError as exc:
            if location == url and exc.host == host_of(url):
                raise self._refusal(exc, repository, revision, name) from exc
            self._locations.pop(url, None)
            remedy = "the storage behind the hub refuses what the hub grants: try again later"
            raise TransientError(str(exc), noted(remedy, exc.proxy)) from exc
        except TransientError:
            self._locations.pop(url, None)
            raise
        self._locations[url] = found
        return response, host_of(found)

    def read(self, snapshot: Snapshot, name: str) -> bytes:
        """Return the content, verified, of a small one of the snapshot's files.

        Raises:
            FtServingError: The hub refused or was not reached, the file is larger than 32 MiB, or
                its content is not that of the hub's metadata.
        """
        file = snapshot.files[name]
        if file.size > LONGEST_READ_BYTES:
            raise FtServingError(
                f"{snapshot.repository}: {name} has {file.size} bytes; at most "
                f"{LONGEST_READ_BYTES} are read of a file of its kind: check the repository"
            )
        chunks: list[bytes] = []
        with Stream(partial(self.open, snapshot, name), Backoff(name, self._say)) as stream:
            stream.seek(0, file.size)
            while stream.position < file.size:
                chunks.append(stream.read())
        content = b"".join(chunks)
        hasher = file.hasher()
        hasher.update(content)
        if hasher.hexdigest() != file.digest:
            raise FtServingError(
                f"{name}: the content sent by {self.endpoint} has the hash {hasher.hexdigest()}; "
                f"its metadata say {file.digest}: try again later, or set HF_ENDPOINT to another "
                "hub or mirror"
            )
        return content

    def _refusal(
        self, error: StatusError, repository: str, revision: str, name: str | None = None
    ) -> FtServingError:
        """Return an error that tells the user of the hub's final answer.

        The codes are those that huggingface_hub's `hf_raise_for_status` tells apart.

        Args:
            error: The answer.
            repository: The repository that it is about.
            revision: The revision that it is about.
            name: The file whose content was asked for; None where the metadata were.
        """
        code = error.headers.get("X-Error-Code", "")
        said = f"{error.status} {error.headers.get('X-Error-Message', '')}".rstrip()
        subject = name or "its metadata"
        token = "HF_TOKEN" if self._token else "HF_TOKEN (none is set)"
        if error.proxy and error.status == 407:
            problem = error.proxy.refusal(error.status)
        elif code == "GatedRepo":
            problem = (
                "gated, and access was not granted; accept the terms on "
                f"{self.endpoint}/{repository}, then set {token} to a token of that account"
            )
        elif code == "RevisionNotFound":
            problem = (
                f"no revision {revision!r} at {self.endpoint}; give a branch, a tag or a commit of "
                "this model"
            )
        elif code == "EntryNotFound" or (name and error.status == 404 and not code):
            problem = (
                f"{self.endpoint} has no file {name!r} in revision {revision}, though its metadata "
                "list it; is a mirror incomplete?"
            )
        # Without a token the hub answers 401 for what does not exist, too.
        elif code == "RepoNotFound" or error.status == 404:
            problem = (
                f"no such model at {self.endpoint}; check the name, and if the model is private, "
                f"which looks the same, set {token} to a token that may read it"
            )
        elif error.status == 401:
            done = "rejected the token" if self._token else "wants a token"
            problem = (
                f"{self.endpoint} {done} ({said}); set {token} to a valid token that may read this "
                "model"
            )
        elif error.status == 403:
            problem = (
                f"{self.endpoint} refused {subject} ({said}); set {token} to a token that may read "
                "it, or ask its owner"
            )
        else:
            problem = f"{self.endpoint} answered {said} for {subject}; {OTHER_ENDPOINT}"
        # An answer with the hub's own code does not come from a proxy.
        if error.status != 407 and not code:
            problem = noted(problem, error.proxy)
        return FtServingError(f"{repository}: {problem}")

    def _metadata(self, repository: str, revision: str, timeout_s: float | None) -> bytes:
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
            raise FtServingError(
                f"{repository}: cannot ask {self.endpoint}, because offline mode is enabled; to "
                "end it, unset HF_HUB_OFFLINE"
            )
        url = (
            f"{self.endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}"
            "?blobs=true"
        )
        try:
            response, _ = self._transport.get(url, {}, timeout_s=timeout_s)
            return response.read()
        except StatusError as exc:
            raise self._refusal(exc, repository, revision) from exc
        except (HTTPError, OSError) as exc:
            raise TransientError(
                f"lost the connection to {host_of(url)} ({reason(exc)})", OTHER_ENDPOINT
            ) from exc


def _check_range(
    response: urllib3.BaseHTTPResponse, host: str, start: int, stop: int, size: int
) -> None:
    """Raise `TransientError` for neither the range asked for nor the whole file, and close it."""
    headers, problem = response.headers, None
    encoding = headers.get("Content-Encoding", "identity")
    given = headers.get("Content-Range", "no Content-Range")
    length = headers.get("Content-Length", str(size))
    if encoding != "identity":
        problem = f"a file in content encoding {encoding!r}, which was not asked"
    elif response.status == 206:
        if given != f"bytes {start}-{stop - 1}/{size}":
            problem = f"{given!r} when asked for bytes {start}-{stop - 1} of {size}"
    elif length != str(size):
        problem = f"a file of {length} bytes; the hub's metadata say {size}"
    if problem:
        response.close()
        raise TransientError(f"{host} sent {problem}", _FOREIGN)


def _snapshot(repository: str, revision: str, info: dict[str, Any], endpoint: str) -> Snapshot:
    problems: list[str] = []
    commit, siblings = str(info["sha"]), info["siblings"]
    if not is_commit(commit):
        problems.append(f"its commit is {commit}")
    elif is_commit(revision) and commit != revision:
        # A release is recorded under the commit that the user asked for.
        problems.append(f"its commit is {commit}, asked for was {revision}")
    if siblings is None:
        problems.append("it lists no files")
    files = [_remote_file(sibling, problems) for sibling in siblings or ()]
    if problems:
        raise FtServingError(
            f"{repository}: the metadata from {endpoint} are incomplete or unsafe: "
            f"{'; '.join(problems)}; set HF_ENDPOINT to another hub or mirror"
        )
    by_name = {file.name: file for file in files}
    return Snapshot(repository=repository, revision=commit, files=by_name)


def _remote_file(sibling: dict[str, Any], problems: list[str]) -> RemoteFile:
    # The JSON may hold values of any type.
    name, size, blob = str(sibling["rfilename"]), sibling.get("size"), str(sibling.get("blobId"))
    lfs = sibling.get("lfs")
    sha256 = str(lfs["sha256"]) if lfs else None
    # Names become paths below a folder of ours. An empty part is an absolute path or a folder.
    if "\0" in name or {"", ".", ".."} & set(name.split("/")):
        problems.append(f"the name {name!r} is not that of a file in a repository")
    if not isinstance(size, int) or size < 0:
        problems.append(f"{name}: its size is {size!r}")
        size = 0
    if not re.fullmatch(r"[0-9a-f]{40}", blob):
        problems.append(f"{name}: its git id is {blob}")
    if sha256 is not None and not re.fullmatch(r"[0-9a-f]{64}", sha256):
        problems.append(f"{name}: its SHA-256 is {sha256}")
    return RemoteFile(name=name, size=size, sha256=sha256, git_blob=blob)
