"""Tokenizers from files, and from a hub by way of the cache."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.client.errors import TokenizerError
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER, load_tokenizer
from tests.core.hub.faulty_hub import COMMIT, REPOSITORY, Fault, FaultyHub

FOLDER = Path(__file__).parents[2] / "models" / "tiny-gptj"
CONTENT = (FOLDER / "tokenizer.json").read_bytes()
MODEL = json.loads(CONTENT)["model"]
PAIR = {
    "vocab.json": json.dumps(MODEL["vocab"]).encode(),
    "merges.txt": "\n".join(["#version: 0.2", *MODEL["merges"], ""]).encode(),
}
"""tiny-gptj's tokenizer as transformers' slow tokenizers have it."""

MARY = "Mary has a little lamb."
MARY_IDS = [690, 513, 260, 331, 448, 15]
TEXT = "Mary has a little lamb, 3 of them\u2026\n\n  It's <|endoftext|> here."
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.fixture
def hub() -> Iterator[FaultyHub]:
    with FaultyHub({"tokenizer.json": CONTENT}) as hub:
        yield hub


@pytest.fixture
def environment(hub: FaultyHub, tmp_path: Path) -> dict[str, str]:
    return {"HF_ENDPOINT": hub.endpoint, "XDG_CACHE_HOME": str(tmp_path / "cache")}


def cached(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("source", [FOLDER, FOLDER / "tokenizer.json", str(FOLDER)])
def test_a_file_or_its_folder_will_do(source: Path | str) -> None:
    assert load_tokenizer(source, {}).encode(MARY).ids == MARY_IDS


def test_padding_truncation_and_a_byte_order_mark_of_a_file_are_ignored(tmp_path: Path) -> None:
    trained = load_tokenizer(FOLDER, {})
    trained.enable_truncation(2)
    trained.enable_padding(length=9)
    fill(tmp_path, {"tokenizer.json": b"\xef\xbb\xbf" + trained.to_str().encode()})
    assert load_tokenizer(tmp_path, {}).encode(MARY).ids == MARY_IDS


@pytest.mark.parametrize(
    ("files", "revision", "requests"),
    [
        # Metadata and content, for the first call only.
        ({"tokenizer.json": CONTENT}, COMMIT, 2),
        (PAIR, COMMIT, 3),
        # A branch is looked up again, and its commit is in the cache.
        ({"tokenizer.json": CONTENT}, "main", 3),
    ],
)
def test_a_commit_is_fetched_once(
    tmp_path: Path, files: dict[str, bytes], revision: str, requests: int
) -> None:
    said: list[str] = []
    with FaultyHub(files) as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        for _ in range(2):
            tokenizer = load_tokenizer(f"{REPOSITORY}@{revision}", environment, said.append)
            assert tokenizer.encode(MARY).ids == MARY_IDS
        assert len(hub.requests) == requests
        assert said == [f"Downloading the tokenizer of {REPOSITORY} from {hub.endpoint}"]
    assert [path.parent.name for path in cached(tmp_path)] == ["some--model"]


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    hub: FaultyHub, environment: dict[str, str], tmp_path: Path
) -> None:
    load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment)
    [copy] = cached(tmp_path)
    copy.write_bytes(CONTENT[:-10])
    assert load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment).get_vocab_size() == 1000
    assert copy.read_bytes() == CONTENT


def test_content_that_is_not_the_hubs_is_refused_and_not_kept(
    hub: FaultyHub, environment: dict[str, str], tmp_path: Path
) -> None:
    hub.content_faults.append(Fault(flip_a_byte=True))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: the content sent"):
        load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment)
    assert not cached(tmp_path)


def test_without_a_place_for_the_cache_the_tokenizer_is_there_all_the_same(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("a file where a folder should be")
    assert load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment).get_vocab_size() == 1000


def test_a_hub_that_refuses_or_is_not_reached_is_told_with_the_option_that_needs_none(
    hub: FaultyHub, environment: dict[str, str]
) -> None:
    hub.metadata_faults.append(Fault(status=404, headers={"X-Error-Code": "RepoNotFound"}))
    with pytest.raises(TokenizerError, match=r"no such model.*--tokenizer FILE"):
        load_tokenizer(f"{REPOSITORY}@main", environment)
    said: list[str] = []
    with pytest.raises(TokenizerError, match=r"cannot reach .*--tokenizer FILE"):
        load_tokenizer(DEFAULT_TOKENIZER, {"HF_ENDPOINT": "http://127.0.0.1:1"}, said.append)
    assert len(said) == 1, "seven tries, as for a download, take half a minute"


@pytest.mark.parametrize(
    "names", [("vocab.json", "merges.txt"), ("gpt2-vocab.json", "gpt2-merges.txt")]
)
def test_a_vocabulary_with_its_merges_is_the_same_tokenizer(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    fill(tmp_path, dict(zip(names, PAIR.values(), strict=True)))
    expected = load_tokenizer(FOLDER, {})
    for source in (tmp_path, *(tmp_path / name for name in names)):
        found = load_tokenizer(source, {})
        ids = found.encode(TEXT).ids
        assert ids == expected.encode(TEXT).ids
        assert 1 in ids, "the end of text is one token"
        assert found.decode(ids) == expected.decode(ids)


def test_added_tokens_beside_a_pair_have_their_ids_or_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, {**PAIR, "added_tokens.json": b'{"[B]": 1001, "[A]": 1000}'})
    assert load_tokenizer(tmp_path, {}).encode("[A][B]").ids == [1000, 1001]
    fill(tmp_path, {"added_tokens.json": b'{"[A]": 1010}'})
    with pytest.raises(TokenizerError, match=r"added_tokens\.json gives '\[A\]' the id 1010"):
        load_tokenizer(tmp_path, {})


@pytest.mark.parametrize(
    ("files", "named", "problem"),
    [
        ({"tokenizer.json": POINTER}, "", r"Git LFS pointer.*git lfs pull"),
        ({**PAIR, "merges.txt": POINTER}, "", r"Git LFS pointer.*git lfs pull"),
        ({**PAIR, "merges.txt": b"a b c"}, "", "vocabulary and merges are no tokenizer"),
        ({"vocab.json": b"{}"}, "", r"neither a tokenizer\.json nor a pair .*vocab.json with mer"),
        # The file that was named decides.
        ({"vocab.json": b"{}", "tokenizer.json": CONTENT}, "vocab.json", "nor a pair"),
        ({"tokenizer.json": b""}, "", "is no tokenizer"),
        ({"tokenizer.json": b"{}"}, "", "is no tokenizer"),
        ({"tokenizer.json": b"\xff\xfe"}, "", "is no tokenizer"),
    ],
)
def test_files_that_are_no_tokenizer_are_named(
    tmp_path: Path, files: dict[str, bytes], named: str, problem: str
) -> None:
    fill(tmp_path, files)
    with pytest.raises(TokenizerError, match=problem):
        load_tokenizer(tmp_path / named, {})


@pytest.mark.parametrize(
    "source", ["none.json", "EleutherAI/gpt-j-6b", "../etc@main", "a/b/c@main"]
)
def test_what_is_neither_file_nor_repository_is_refused_with_both_forms(source: str) -> None:
    with pytest.raises(TokenizerError, match="OWNER/NAME@REVISION"):
        load_tokenizer(source, {})
