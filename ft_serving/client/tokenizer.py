"""Tokenizers: from a file, or from a model hub by way of a cache."""

import hashlib
import re
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from tokenizers import Tokenizer

from ft_serving.client.errors import TokenizerError
from ft_serving.hub.client import Hub
from ft_serving.release import is_commit

DEFAULT_TOKENIZER = "EleutherAI/gpt-j-6b@47e169305d2e8376be1d31e765533382721b2cc1"
"""That of the published GPT-J 6B."""

FILE = "tokenizer.json"
END_OF_TEXT = "<|endoftext|>"
"""The token that ends a text in GPT-2's tokenizer, which GPT-J's is, and in GPT-NeoX's."""


def load_tokenizer(
    source: str | Path,
    environment: Mapping[str, str],
    say: Callable[[str], None] = lambda _: None,
) -> Tokenizer:
    """Read a tokenizer.

    Args:
        source: A `tokenizer.json` or a folder with one; or `OWNER/NAME@REVISION` on the hub that
            HF_ENDPOINT names. A commit's is kept in the user's cache.
        environment: HF_ENDPOINT, HF_TOKEN, XDG_CACHE_HOME.
        say: Told about downloads, and failures that are tried again.

    Raises:
        TokenizerError: There is none, or it is damaged.
        HubError: The hub refused or was not reached.
        IntegrityError: The hub sent another content than its metadata describe.
    """
    path = Path(source)
    if path.is_dir():
        path /= FILE
    if path.is_file():
        try:
            return _parse(path.read_bytes(), str(path))
        except OSError as exc:
            raise TokenizerError(f"{path}: {exc.strerror}") from exc
    repository, _, revision = str(source).rpartition("@")
    if not repository or not revision or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", repository):
        raise TokenizerError(
            f"{source}: no such file. Name a tokenizer.json, or a repository on the hub as "
            "OWNER/NAME@REVISION"
        )
    return _from_hub(repository, revision, environment, say)


def _from_hub(
    repository: str, revision: str, environment: Mapping[str, str], say: Callable[[str], None]
) -> Tokenizer:
    cache = _cache(environment) / repository.replace("/", "--")
    cached = _cached(cache, revision)
    if cached is not None:
        return _parse(cached, f"{repository}@{revision}")
    hub = Hub.from_environment(environment, say)
    snapshot = hub.snapshot(repository, revision)
    cached = _cached(cache, snapshot.revision)
    if cached is None:
        say(f"Downloading the tokenizer of {repository} from {hub.endpoint}")
        cached = hub.read(snapshot, FILE)
        _keep(cache, snapshot.revision, cached)
    return _parse(cached, f"{repository}@{revision}")


def _parse(content: bytes, name: str) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_buffer(content)
    # The library raises plain Exceptions.
    except Exception as exc:
        raise TokenizerError(f"{name}: is no tokenizer ({exc})") from exc
    # What a file may ask for on behalf of training.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _cache(environment: Mapping[str, str]) -> Path:
    root = environment.get("XDG_CACHE_HOME", "")
    # The XDG Base Directory Specification has relative paths ignored.
    base = Path(root) if Path(root).is_absolute() else Path.home() / ".cache"
    return base / "ft-serving" / "tokenizers"


def _cached(cache: Path, revision: str) -> bytes | None:
    """The cached content at a commit, if it is there and whole: its name holds its hash."""
    if not is_commit(revision):
        return None
    for path in cache.glob(f"{revision}-*.json"):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        if path.name == _name(revision, content):
            return content
    return None


def _keep(cache: Path, revision: str, content: bytes) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, delete=False) as file:
            file.write(content)
        Path(file.name).replace(cache / _name(revision, content))
    except OSError:
        # Without a cache the next call downloads again: slower, and no reason to fail this one.
        return


def _name(revision: str, content: bytes) -> str:
    return f"{revision}-{hashlib.sha256(content).hexdigest()}.json"
