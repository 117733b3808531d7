"""Tokenizers: from files, or from a model hub by way of a cache."""

import codecs
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

from ft_serving.client.errors import TokenizerError
from ft_serving.core.errors import FtServingError
from ft_serving.core.files import LFS_POINTER
from ft_serving.core.hub.client import Hub
from ft_serving.core.release import is_commit

DEFAULT_TOKENIZER = "EleutherAI/gpt-j-6b@47e169305d2e8376be1d31e765533382721b2cc1"
"""That of the published GPT-J 6B."""

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
    """Read a tokenizer.

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
        if path.is_dir():
            return _parse(_from_folder(path), str(path))
        if path.is_file():
            return _parse(_from_file(path), str(path))
    except OSError as exc:
        raise TokenizerError(f"{exc.filename or path}: {exc.strerror}") from exc
    repository, _, revision = str(source).rpartition("@")
    if not repository or not revision or not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", repository):
        raise TokenizerError(f"{source}: no such file. Name {_FORMS}")
    try:
        return _from_hub(repository, revision, environment, say)
    except TokenizerError:
        raise
    except FtServingError as exc:
        raise TokenizerError(
            f"{str(exc).rstrip('.')}. A file needs no hub: name the model's {FILE} "
            "(--tokenizer FILE)"
        ) from exc


def _from_folder(folder: Path) -> bytes:
    names = {path.name for path in folder.iterdir()}
    return _content(names, lambda name: (folder / name).read_bytes(), str(folder))


def _from_file(path: Path) -> bytes:
    if not any(path.name in pair for pair in PAIRS):
        return path.read_bytes()
    folder = path.parent
    # The file that was named decides, also where a tokenizer.json lies beside it.
    pair = next(pair for pair in PAIRS if path.name in pair)
    if missing := [name for name in pair if not (folder / name).is_file()]:
        raise TokenizerError(
            f"{path}: {' and '.join(pair)} are one tokenizer, and {missing[0]} is not beside it"
        )
    names = {*pair, *(name for name in (ADDED,) if (folder / name).is_file())}
    return _content(names, lambda name: (folder / name).read_bytes(), str(folder))


def _from_hub(
    repository: str, revision: str, environment: Mapping[str, str], say: Callable[[str], None]
) -> Tokenizer:
    cache = _cache(environment) / repository.replace("/", "--")
    cached = _cached(cache, revision)
    if cached is not None:
        return _parse(cached, f"{repository}@{revision}")
    hub = Hub.from_environment(environment, say)
    snapshot = hub.snapshot(repository, revision, tries=_HUB_TRIES, timeout_s=_HUB_TIMEOUT_S)
    cached = _cached(cache, snapshot.revision)
    if cached is None:
        say(f"Downloading the tokenizer of {repository} from {hub.endpoint}")
        names = {file.name for file in snapshot.files}
        cached = _content(
            names, lambda name: hub.read(snapshot, name), f"{repository}@{snapshot.revision}"
        )
        _keep(cache, snapshot.revision, cached)
    return _parse(cached, f"{repository}@{revision}")


def _content(names: Collection[str], read: Callable[[str], bytes], where: str) -> bytes:
    """Return the content of a tokenizer.json: the one that is there, or one made of a pair."""
    if FILE in names:
        return read(FILE)
    for pair in PAIRS:
        if set(pair) <= set(names):
            vocabulary, merges = map(read, pair)
            return _joined(vocabulary, merges, read(ADDED) if ADDED in names else b"{}", where)
    pairs = "; ".join(" with ".join(pair) for pair in PAIRS)
    raise TokenizerError(
        f"{where}: has neither {FILE} nor a pair that can stand for it ({pairs}). Have "
        "transformers write it: AutoTokenizer.from_pretrained(…).save_pretrained(…)"
    )


def _joined(vocabulary: bytes, merges: bytes, added: bytes, where: str) -> bytes:
    """Make GPT-2's byte-level tokenizer, as GPT-J has it, of its vocabulary and merges."""
    for content in (vocabulary, merges, added):
        _refuse_pointer(content, where)
    try:
        words = json.loads(vocabulary.decode("utf-8-sig"))
        pairs = _merges(merges.decode("utf-8-sig"))
        tokenizer = Tokenizer(BPE(vocab=words, merges=pairs))
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


def _merges(text: str) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        if len(words) == 2 and not line.startswith("#version:"):
            pairs.append((words[0], words[1]))
        elif words and not line.startswith("#version:"):
            raise ValueError(f"line {number} of the merges must be two words; got {line[:80]!r}")
    return pairs


def _parse(content: bytes, name: str) -> Tokenizer:
    _refuse_pointer(content, name)
    try:
        tokenizer = Tokenizer.from_buffer(content.removeprefix(codecs.BOM_UTF8))
    # The library raises plain Exceptions.
    except Exception as exc:
        raise TokenizerError(f"{name}: is no tokenizer ({exc}). Name {_FORMS}") from exc
    # What a file may ask for on behalf of training.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _refuse_pointer(content: bytes, name: str) -> None:
    if content.startswith(LFS_POINTER):
        raise TokenizerError(
            f"{name}: is a Git LFS pointer to the file, not the file; run `git lfs pull` there"
        )


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
