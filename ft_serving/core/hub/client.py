"""The model hub: what a repository holds at a commit, and its small files."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from urllib3.exceptions import HTTPError

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.refusal import HubQuestion, refusal
from ft_serving.core.hub.retry import TRIES, Backoff, TransientError
from ft_serving.core.hub.stream import RangeSource, Stream
from ft_serving.core.hub.transport import (
    OTHER_ENDPOINT,
    READ_TIMEOUT_S,
    HubTransport,
    StatusError,
    host_of,
    reason,
    web_address,
)
from ft_serving.core.release import is_commit

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo
    from huggingface_hub.hf_api import RepoSibling

DEFAULT_ENDPOINT = "https://huggingface.co"
LONGEST_READ_BYTES = 32 << 20


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
        """What `hasher` comes to over the right content."""
        return self.sha256 or self.git_blob

    def hasher(self) -> "hashlib._Hash":
        """A hash to feed with the whole content, in order."""
        if self.sha256:
            return hashlib.sha256()
        # A blob's id is the SHA-1 of its content behind this header (git-hash-object).
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The files of a repository at one commit (40 hexadecimal digits)."""

    repository: str
    revision: str
    files: tuple[RemoteFile, ...]

    def file(self, name: str) -> RemoteFile:
        """The file of that name.

        Raises:
            FtServingError: There is none.
        """
        for file in self.files:
            if file.name == name:
                return file
        raise FtServingError(
            f"{self.repository}: no file {name!r} in revision {self.revision}; "
            f"it has {', '.join(sorted(file.name for file in self.files)) or 'none at all'}"
        )


class Hub:
    """A client of the Hugging Face Hub or of a mirror with the same addresses.

    Every request is tried again, with growing waits, when the connection fails or the hub is
    overloaded. The token is sent to the endpoint's own scheme, host and port alone, and appears
    in no message.
    """

    def __init__(
        self, endpoint: str, token: str | None, say: Callable[[str], None] = lambda _: None
    ) -> None:
        """Connect to nothing yet; `say` is told about failures that are tried again.

        Raises:
            FtServingError: The endpoint is no http(s) address, or the token cannot be one.
        """
        if "@" in endpoint:
            # Not shown, as it may hold a password.
            raise FtServingError(
                "HF_ENDPOINT: must not hold a user or password; set HF_TOKEN instead"
            )
        parts = web_address(endpoint)
        if parts is None or parts.query:
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

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], say: Callable[[str], None] = lambda _: None
    ) -> "Hub":
        """The hub at HF_ENDPOINT (default: the public one), with the token in HF_TOKEN if set.

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
        timeout_s: float = READ_TIMEOUT_S,
    ) -> Snapshot:
        """What `repository` holds at `revision`: a branch, a tag or a commit.

        Args:
            repository: Its name, with its owner's.
            revision: A branch, a tag or a commit.
            tries: How often to ask at most; a user who waits for the answer wants fewer.
            timeout_s: Seconds that the hub may be silent in each.

        Raises:
            FtServingError: The hub refused or was not reached, or its metadata are incomplete or
                unsafe.
        """
        backoff = Backoff(repository, self._say, tries=tries)
        while True:
            try:
                info = self._model_info(repository, revision, timeout_s)
                break
            except TransientError as exc:
                backoff.wait(exc)
        return _snapshot(repository, revision, info, self.endpoint)

    def url(self, repository: str, commit: str, name: str) -> str:
        """The address of a file's content."""
        return f"{self.endpoint}/{repository}/resolve/{commit}/{quote(name)}"

    def source(self, snapshot: Snapshot, name: str) -> RangeSource:
        """Where ranges of a file come from.

        Raises:
            FtServingError: The snapshot has no such file.
        """
        file = snapshot.file(name)
        return RangeSource(
            self._transport,
            self.url(snapshot.repository, snapshot.revision, name),
            file.size,
            partial(refusal, asked=self._question(snapshot.repository, snapshot.revision, name)),
        )

    def read(self, snapshot: Snapshot, name: str) -> bytes:
        """A small file's content, verified.

        Raises:
            FtServingError: The hub refused or was not reached, the file is larger than 32 MiB, or
                its content is not that of the hub's metadata.
        """
        file = snapshot.file(name)
        if file.size > LONGEST_READ_BYTES:
            raise FtServingError(
                f"{snapshot.repository}: {name} has {file.size} bytes; at most "
                f"{LONGEST_READ_BYTES} are read of a file of its kind: check the repository"
            )
        chunks: list[bytes] = []
        with Stream(self.source(snapshot, name), Backoff(name, self._say)) as stream:
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

    def _question(self, repository: str, revision: str, name: str | None = None) -> HubQuestion:
        return HubQuestion(
            endpoint=self.endpoint,
            with_token=self._token is not None,
            repository=repository,
            revision=revision,
            name=name,
        )

    def _model_info(self, repository: str, revision: str, timeout_s: float) -> "ModelInfo":
        # Here, because the imports take a third of a second.
        from huggingface_hub import ModelInfo, constants
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

        if constants.is_offline_mode():
            raise FtServingError(
                f"{repository}: cannot ask {self.endpoint}, because offline mode is enabled; to "
                "end it, unset HF_HUB_OFFLINE"
            )
        try:
            validate_repo_id(repository)
        except HFValidationError as exc:
            raise FtServingError(f"{repository!r} is not the name of a model: {exc}") from exc
        # Not by HfApi: it reads the environment's proxies by rules of its own.
        url = (
            f"{self.endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}"
            "?blobs=true"
        )
        try:
            response, _ = self._transport.get(url, {}, timeout_s=timeout_s)
            content = response.read()
        except StatusError as exc:
            raise refusal(exc, self._question(repository, revision)) from exc
        except (HTTPError, OSError) as exc:
            raise TransientError(
                f"lost the connection to {host_of(url)} ({reason(exc)})", OTHER_ENDPOINT
            ) from exc
        try:
            return ModelInfo(**json.loads(content))  # type: ignore[no-untyped-call]
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise FtServingError(
                f"{repository}: {self.endpoint} answered with something else than a model's "
                f"metadata ({exc!r}); is HF_ENDPOINT a hub?"
            ) from exc


def _snapshot(repository: str, revision: str, info: "ModelInfo", endpoint: str) -> Snapshot:
    problems: list[str] = []
    commit = str(info.sha)
    if not is_commit(commit):
        problems.append(f"its commit is {commit}")
    elif is_commit(revision) and commit != revision:
        # What is asked for by its commit is recorded under that commit.
        problems.append(f"its commit is {commit}, asked for was {revision}")
    if info.siblings is None:
        problems.append("it lists no files")
    files = [_remote_file(sibling, problems) for sibling in info.siblings or ()]
    if problems:
        raise FtServingError(
            f"{repository}: the metadata from {endpoint} are incomplete or unsafe: "
            f"{'; '.join(problems)}; set HF_ENDPOINT to another hub or mirror"
        )
    return Snapshot(repository=repository, revision=commit, files=tuple(files))


def _remote_file(sibling: "RepoSibling", problems: list[str]) -> RemoteFile:
    # Nothing has checked the types of what the JSON holds.
    name, size, blob = str(sibling.rfilename), sibling.size, str(sibling.blob_id)
    sha256 = str(sibling.lfs.sha256) if sibling.lfs else None
    # Names become paths below a folder of ours; an empty part is an absolute path or a folder.
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
