"""Where tokenizers come from."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.client.errors import TokenizerError
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER, load_tokenizer
from tests.core.hub.faulty_hub import COMMIT, REPOSITORY, Fault, FaultyHub

FOLDER = Path(__file__).parents[2] / "models" / "tiny-gptj"
CONTENT = (FOLDER / "tokenizer.json").read_bytes()


VOCABULARY: dict[str, int] = json.loads(CONTENT)["model"]["vocab"]
MERGES: list[str] = json.loads(CONTENT)["model"]["merges"]
PAIR = {
    "vocab.json": json.dumps(VOCABULARY).encode(),
    "merges.txt": "\n".join(["#version: 0.2", *MERGES, ""]).encode(),
}
"""tiny-gptj's tokenizer as transformers' slow tokenizers have it."""

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


@pytest.mark.parametrize("source", [FOLDER, FOLDER / "tokenizer.json", str(FOLDER)])
def test_a_file_or_its_folder_will_do(source: Path | str) -> None:
    assert load_tokenizer(source, {}).encode("Mary has a little lamb.").ids == [
        *(690, 513, 260, 331, 448, 15)
    ]


def test_padding_and_truncation_of_a_file_are_switched_off(tmp_path: Path) -> None:
    trained = load_tokenizer(FOLDER, {})
    trained.enable_truncation(2)
    trained.enable_padding(length=9)
    trained.save(str(tmp_path / "tokenizer.json"))
    ids = load_tokenizer(tmp_path, {}).encode("Mary has a little lamb.").ids
    assert ids == [690, 513, 260, 331, 448, 15]


def test_a_commit_is_fetched_once(
    hub: FaultyHub, environment: dict[str, str], tmp_path: Path
) -> None:
    said: list[str] = []
    for _ in range(2):
        tokenizer = load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment, said.append)
        assert tokenizer.get_vocab_size() == 1000
    assert len(hub.requests) == 2, "metadata and content, for the first call alone"
    assert said == [f"Downloading the tokenizer of {REPOSITORY} from {hub.endpoint}"]
    assert [path.parent.name for path in cached(tmp_path)] == ["some--model"]


def test_a_branch_is_looked_up_again_and_its_commit_is_not(
    hub: FaultyHub, environment: dict[str, str]
) -> None:
    for _ in range(2):
        load_tokenizer(f"{REPOSITORY}@main", environment)
    assert len(hub.content_requests) == 1
    assert len(hub.requests) == 3


def test_a_damaged_copy_in_the_cache_is_fetched_again(
    hub: FaultyHub, environment: dict[str, str], tmp_path: Path
) -> None:
    load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment)
    [copy] = cached(tmp_path)
    copy.write_bytes(CONTENT[:-10])
    assert load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment).get_vocab_size() == 1000
    assert len(hub.content_requests) == 2
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


def test_a_hub_that_refuses_says_so(hub: FaultyHub, environment: dict[str, str]) -> None:
    hub.metadata_faults.append(Fault(status=404, headers={"X-Error-Code": "RepoNotFound"}))
    with pytest.raises(TokenizerError, match=r"no such model.*--tokenizer FILE"):
        load_tokenizer(f"{REPOSITORY}@main", environment)


def test_without_a_network_the_message_comes_within_seconds_and_names_the_option() -> None:
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
    for name, content in zip(names, PAIR.values(), strict=True):
        (tmp_path / name).write_bytes(content)
    expected = load_tokenizer(FOLDER, {})
    for source in (tmp_path, *(tmp_path / name for name in names)):
        found = load_tokenizer(source, {})
        ids = found.encode(TEXT).ids
        assert ids == expected.encode(TEXT).ids
        assert 1 in ids, "the end of text is one token"
        assert found.decode(ids) == expected.decode(ids)


def test_a_repository_with_such_a_pair_is_read_and_kept(tmp_path: Path) -> None:
    said: list[str] = []
    with FaultyHub(PAIR) as hub:
        environment = {"HF_ENDPOINT": hub.endpoint, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        for _ in range(2):
            found = load_tokenizer(f"{REPOSITORY}@{COMMIT}", environment, said.append)
            assert found.encode("Mary has a little lamb.").ids == [690, 513, 260, 331, 448, 15]
    assert len(said) == 1


def test_added_tokens_beside_a_pair_have_their_ids_or_are_refused(tmp_path: Path) -> None:
    for name, content in PAIR.items():
        (tmp_path / name).write_bytes(content)
    added = tmp_path / "added_tokens.json"
    added.write_text(json.dumps({"[B]": 1001, "[A]": 1000}))
    assert load_tokenizer(tmp_path, {}).encode("[A][B]").ids == [1000, 1001]
    added.write_text(json.dumps({"[A]": 1010}))
    with pytest.raises(TokenizerError, match=r"added_tokens\.json gives '\[A\]' the id 1010"):
        load_tokenizer(tmp_path, {})


@pytest.mark.parametrize("name", ["tokenizer.json", "merges.txt"])
def test_a_git_lfs_pointer_is_named_as_one(tmp_path: Path, name: str) -> None:
    for each, content in {**PAIR, name: POINTER}.items():
        (tmp_path / each).write_bytes(content)
    with pytest.raises(TokenizerError, match=r"Git LFS pointer.*git lfs pull"):
        load_tokenizer(tmp_path, {})


def test_half_of_a_pair_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_bytes(PAIR["vocab.json"])
    with pytest.raises(TokenizerError, match=r"merges\.txt is not beside it"):
        load_tokenizer(tmp_path / "vocab.json", {})
    with pytest.raises(TokenizerError, match=r"neither tokenizer\.json nor a pair"):
        load_tokenizer(tmp_path, {})


def test_a_byte_order_mark_is_no_part_of_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(b"\xef\xbb\xbf" + CONTENT)
    assert load_tokenizer(tmp_path, {}).get_vocab_size() == 1000


@pytest.mark.parametrize(
    "source", ["none.json", "EleutherAI/gpt-j-6b", "../etc@main", "a/b/c@main"]
)
def test_what_is_neither_file_nor_repository_is_refused_with_both_forms(source: str) -> None:
    with pytest.raises(TokenizerError, match="OWNER/NAME@REVISION"):
        load_tokenizer(source, {})


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe"])
def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(TokenizerError, match="is no tokenizer"):
        load_tokenizer(tmp_path, {})


def test_the_default_is_pinned_to_a_commit() -> None:
    repository, _, commit = DEFAULT_TOKENIZER.partition("@")
    assert repository == "EleutherAI/gpt-j-6b"
    assert len(commit) == 40
    assert int(commit, 16)
