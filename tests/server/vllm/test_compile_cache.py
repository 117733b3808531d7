"""Servers that share a folder for what they compile."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.server.vllm.compile_cache import compile_cache, use_caches
from ft_serving.server.vllm.settings import CACHE


@pytest.fixture(autouse=True)
def folders_of_their_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("tmp")))
        yield


def start(shared: Path) -> Path:
    """Start a server that compiles where it is told to; return where that was."""
    environment = {CACHE: str(shared)}
    with compile_cache(environment):
        used = Path(environment[CACHE])
        (used / "vllm").mkdir(exist_ok=True)
        (used / "vllm" / "index").touch()
    return used


def test_what_the_first_server_compiles_the_next_one_has(tmp_path: Path) -> None:
    shared = tmp_path / "release" / "vllm-H200"
    assert start(shared) == shared
    environment = {CACHE: str(shared)}
    with compile_cache(environment):
        assert environment == {CACHE: str(shared)}
        assert (shared / "vllm" / "index").exists()


def test_two_that_start_at_once_do_not_write_into_each_others_files(tmp_path: Path) -> None:
    shared = tmp_path / "cache"
    with compile_cache({CACHE: str(shared)}):
        assert start(shared) != shared
    assert not (shared / "vllm").exists()
    assert start(shared) == shared, "it is whole now, although nothing had to be compiled"


def test_a_cache_that_a_killed_server_left_unfinished_is_begun_anew(tmp_path: Path) -> None:
    shared = tmp_path / "cache"
    with pytest.raises(RuntimeError), compile_cache({CACHE: str(shared)}):
        (shared / "vllm").mkdir()
        (shared / "vllm" / "index").write_text("{cut off")
        raise RuntimeError
    with compile_cache({CACHE: str(shared)}):
        assert not (shared / "vllm").exists()


def test_a_folder_that_cannot_be_made_is_told_and_not_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    assert start(tmp_path / "file" / "cache") != tmp_path / "file" / "cache"
    assert "this start compiles anew" in caplog.text


def test_all_caches_lie_in_the_folder_with_what_comes_with_the_image(tmp_path: Path) -> None:
    info = "vllm/modelinfos/gpt_j.json"
    shared, prepared = tmp_path / "cache", tmp_path / "prepared"
    (prepared / info).parent.mkdir(parents=True)
    (prepared / info).write_text("from the image")
    environment = {CACHE: str(shared), "TRITON_CACHE_DIR": "/elsewhere"}
    use_caches(environment, prepared)
    assert environment["VLLM_CACHE_ROOT"] == f"{shared}/vllm"
    assert environment["TORCHINDUCTOR_CACHE_DIR"] == f"{shared}/inductor"
    assert environment["TRITON_CACHE_DIR"] == "/elsewhere", "who names one has a reason"
    assert (shared / info).read_text() == "from the image"
    (shared / info).write_text("being read")
    use_caches(environment, prepared)
    assert (shared / info).read_text() == "being read"


def test_what_comes_with_the_image_can_be_done_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "prepared").mkdir()
    (tmp_path / "prepared" / "info").touch()
    use_caches({CACHE: str(tmp_path / "file")}, tmp_path / "prepared")
    assert "lacks what comes with the image" in caplog.text


def test_without_a_folder_caches_are_where_they_are_by_default() -> None:
    environment: dict[str, str] = {}
    with compile_cache(environment):
        use_caches(environment)
    assert environment == {}
