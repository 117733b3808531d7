"""Loads tokenizers from files, or from a model hub by way of a cache."""

import codecs
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from ft_serving.client.errors import TokenizerError
from ft_serving.core.errors import FtServingError
from ft_serving.core.files import LFS_POINTER
from ft_serving.core.hub.client import Hub, is_model_name
from ft_serving.core.release import is_commit

DEFAULT_TOKENIZER = "EleutherAI/gpt-j-6b@47e169305d2e8376be1d31e765533382721b2cc1"
"""The tokenizer of the published GPT-J 6B."""

FILE = "tokenizer.json"
PAIRS = (
    ("vocab.json", "merges.txt"),
    ("gpt2-vocab.json", "gpt2-merges.txt"),
    ("encoder.json", "vocab.bpe"),
)
"""The vocabulary and the merges of a byte-level tokenizer, as transformers, Megatron and OpenAI
name them."""

ADDED = "added_tokens.json"
"""Tokens that transformers keeps beside the vocabulary, with their ids."""

END_OF_TEXT = "<|endoftext|>"
"""The token that ends a text in GPT-2's tokenizer, which GPT-J's is, and in GPT-NeoX's."""

# A user waits in front of the command: seconds, not the minute that a download's patience takes.
_HUB_TRIES = 2
_HUB_TIMEOUT_S = 5.0

_FORMS = (
    f"a {FILE}, a folder that has it or {' and '.join(PAIRS[0])}, or a repository on the hub as "
    "OWNER/NAME@REVISION"
)


def load_tokenizer(
    source: str | Path,
    environment: Mapping[str, str],
    say: Callable[[str], None] = lambda _: None,
) -> Tokenizer:
    """Return the tokenizer of a file, a folder or a repository.

    Args:
        source: A `tokenizer.json`; or one of a pair of `PAIRS`, beside the other; or a folder with
            either; or `OWNER/NAME@REVISION` on the hub that HF_ENDPOINT names. A commit's is kept
            in the user's cache.
        environment: HF_ENDPOINT, HF_TOKEN, XDG_CACHE_HOME.
        say: Told about downloads, and failures that are tried again.

    Raises:
        TokenizerError: There is none, it is damaged, or the hub refused or was not reached.
    """
    path = Path(source)
    try:
        if path.exists():
            return _parse(_from_disk(path), str(path))
    except OSError as exc:
        raise TokenizerError(f"{exc.filename or path}: {exc.strerror}") from exc
    repository, _, revision = str(source).rpartition("@")
    if not revision or not is_model_name(repository):
        raise TokenizerError(f"{source}: no such file. Name {_FORMS}")
    try:
        return _parse(_from_hub(repository, revision, environment, say), str(source))
    except TokenizerError:
        raise
    except FtServingError as exc:
        raise TokenizerError(
            f"{str(exc).rstrip('.')}. A file needs no hub: name the model's {FILE} "
            "(--tokenizer FILE)"
        ) from exc


def _from_disk(path: Path) -> bytes:
    folder = path if path.is_dir() else path.parent
    names = {each.name for each in folder.iterdir()}
    if path != folder:
        pair = next((pair for pair in PAIRS if path.name in pair), None)
        if pair is None:
            return path.read_bytes()
        # The file that was named decides, also where a tokenizer.json lies beside it.
        names &= {*pair, ADDED}
    return _content(names, lambda name: (folder / name).read_bytes(), str(path))


def _from_hub(
    repository: str, revision: str, environment: Mapping[str, str], say: Callable[[str], None]
) -> bytes:
    root = Path(environment.get("XDG_CACHE_HOME", ""))
    # The XDG Base Directory Specification has relative paths ignored.
    base = root if root.is_absolute() else Path.home() / ".cache"
    cache = base / "ft-serving" / "tokenizers" / repository.replace("/", "--")
    cached = _cached(cache, revision)
    if cached is not None:
        return cached
    hub = Hub.from_environment(environment, say)
    snapshot = hub.snapshot(repository, revision, tries=_HUB_TRIES, timeout_s=_HUB_TIMEOUT_S)
    cached = _cached(cache, snapshot.revision)
    if cached is not None:
        return cached
    say(f"Downloading the tokenizer of {repository} from {hub.endpoint}")
    where = f"{repository}@{snapshot.revision}"
    content = _content(set(snapshot.files), lambda name: hub.read(snapshot, name), where)
    _keep(cache, snapshot.revision, content)
    return content


def _content(names: set[str], read: Callable[[str], bytes], where: str) -> bytes:
    """Return the content of the tokenizer.json, or of one that is made of a pair."""
    if FILE in names:
        return read(FILE)
    for pair in PAIRS:
        if names.issuperset(pair):
            added = read(ADDED) if ADDED in names else b"{}"
            return _joined(read(pair[0]), read(pair[1]), added, where)
    pairs = "; ".join(" with ".join(pair) for pair in PAIRS)
    raise TokenizerError(
        f"{where}: there is neither a {FILE} nor a pair that can stand for it ({pairs}). Have "
        "transformers write it: AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    )


def _joined(vocabulary: bytes, merges: bytes, added: bytes, where: str) -> bytes:
    """Make GPT-2's byte-level tokenizer, as GPT-J has it, of its vocabulary and merges."""
    for content in (vocabulary, merges, added):
        _refuse_pointer(content, where)
    lines = merges.decode("utf-8-sig", "replace").split("\n")
    pairs: list[Any] = [tuple(line.split()) for line in lines if not line.startswith("#version:")]
    try:
        words = json.loads(vocabulary.decode("utf-8-sig"))
        tokenizer = Tokenizer(BPE(vocab=words, merges=[pair for pair in pairs if pair]))
        more: dict[str, int] = dict(json.loads(added.decode("utf-8-sig")))
        tokenizer.add_tokens(
            [AddedToken(token, normalized=False) for token in sorted(more, key=more.__getitem__)]
        )
    # The library raises plain Exceptions.
    except Exception as exc:
        raise TokenizerError(
            f"{where}: its vocabulary and merges are no tokenizer ({exc})"
        ) from exc
    # Added tokens are numbered on, behind the vocabulary.
    if wrong := [token for token, number in more.items() if tokenizer.token_to_id(token) != number]:
        raise TokenizerError(
            f"{where}: {ADDED} gives {wrong[0]!r} the id {more[wrong[0]]}, which does not follow "
            f"the vocabulary; use the model's {FILE}"
        )
    if END_OF_TEXT in words:
        tokenizer.add_special_tokens([AddedToken(END_OF_TEXT, normalized=False)])
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    return tokenizer.to_str().encode()


def _parse(content: bytes, name: str) -> Tokenizer:
    _refuse_pointer(content, name)
    try:
        tokenizer = Tokenizer.from_buffer(content.removeprefix(codecs.BOM_UTF8))
    # The library raises plain Exceptions.
    except Exception as exc:
        raise TokenizerError(f"{name}: is no tokenizer ({exc}). Name {_FORMS}") from exc
    # A file may ask for both on behalf of training.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _refuse_pointer(content: bytes, name: str) -> None:
    if content.startswith(LFS_POINTER):
        raise TokenizerError(
            f"{name}: is a Git LFS pointer to the file, not the file; run `git lfs pull` there"
        )


def _cached(cache: Path, revision: str) -> bytes | None:
    """Return the cached content at a commit, if it is there and matches the hash in its name."""
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
