"""Listing and pruning."""

import errno
import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import SoftFileLease

from ft_serving.dtypes import DType
from ft_serving.errors import StorageError
from ft_serving.progress import Progress
from ft_serving.weights import inventory
from ft_serving.weights.errors import ReleaseError
from ft_serving.weights.inventory import Entry, list_releases, prune
from ft_serving.weights.manifest import MANIFEST_PATH, read_manifest
from ft_serving.weights.prepare import Outcome, Prepared, Settings, prepare
from ft_serving.weights.source import LocalSource
from ft_serving.weights.storage import Storage
from tests.weights.models import random_checkpoint


def prepared(storage: Storage, ranks: int) -> Prepared:
    progress = Progress(io.StringIO())
    source = LocalSource(random_checkpoint(storage.root.with_name("model")), (), progress)
    settings = Settings(
        dtype=DType.FP16,
        compute_dtype=DType.FP16,
        tensor_parallel=ranks,
        pipeline_parallel=1,
        streaming=False,
    )
    return prepare(source, settings, storage, progress)


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Three releases, named here by their tensor parallel size: 4 is the newest, then 2, then 1."""
    storage = Storage(tmp_path / "storage")
    storage.create()
    for year, ranks in enumerate((1, 2, 4), start=2001):
        folder = prepared(storage, ranks).folder
        dated = replace(read_manifest(folder), created=f"{year}-01-01T00:00:00+00:00")
        (folder / MANIFEST_PATH).write_text(dated.to_json())
        os.utime(folder, (year, year))
    return storage


def name_of(storage: Storage, ranks: int) -> str:
    (name,) = [name for name in storage.release_names() if f"-tp{ranks}-" in name]
    return name


def ranks_left(storage: Storage) -> list[int]:
    return sorted(int(name.split("-tp")[1].split("-")[0]) for name in storage.release_names())


def damage(storage: Storage, ranks: int) -> None:
    (storage.release(name_of(storage, ranks)) / "fastertransformer/1/model.wte.bin").unlink()


def run(storage: Storage, *keep: str, newest: int = 0) -> dict[int, str | None]:
    decisions = list(prune(storage, keep, newest))
    return {int(d.entry.name.split("-tp")[1].split("-")[0]): d.kept_because for d in decisions}


def test_an_empty_storage_has_no_releases(tmp_path: Path) -> None:
    assert list_releases(Storage(tmp_path)) == []


def test_releases_are_listed_newest_first_with_their_state(storage: Storage) -> None:
    damage(storage, 2)
    with storage.lease(name_of(storage, 1)):
        entries = list_releases(storage)
    assert [entry.name for entry in entries] == [name_of(storage, n) for n in (4, 2, 1)]
    assert [len(entry.problems) for entry in entries] == [0, 1, 0]
    assert [len(entry.users) for entry in entries] == [0, 0, 1]


def test_a_folder_that_is_no_release_is_listed_as_one_that_was_never_finished(
    storage: Storage,
) -> None:
    storage.release("stray").mkdir()
    entry = list_releases(storage)[-1]
    assert (entry.name, entry.manifest) == ("stray", None)
    assert "never finished" in entry.problems[0]


def test_the_newest_are_kept(storage: Storage) -> None:
    assert run(storage, newest=2) == {4: "among the newest 2", 2: "among the newest 2", 1: None}
    assert ranks_left(storage) == [2, 4]


def test_a_damaged_release_does_not_count_among_the_newest(storage: Storage) -> None:
    damage(storage, 4)
    assert run(storage, newest=1) == {4: None, 2: "among the newest 1", 1: None}


def test_a_named_release_is_kept_even_if_it_is_old(storage: Storage) -> None:
    assert run(storage, name_of(storage, 1)) == {4: None, 2: None, 1: "named"}
    assert ranks_left(storage) == [1]


def test_a_release_that_was_asked_for_again_is_the_newest(storage: Storage) -> None:
    os.utime(storage.release(name_of(storage, 1)))
    assert run(storage, newest=1) == {4: None, 2: None, 1: "among the newest 1"}


def test_named_releases_do_not_count_among_the_newest(storage: Storage) -> None:
    newest = "among the newest 1"
    assert run(storage, name_of(storage, 4), newest=1) == {4: "named", 2: newest, 1: None}


def test_a_release_in_use_is_kept(storage: Storage) -> None:
    with storage.lease(name_of(storage, 2)):
        decisions = run(storage, newest=1)
        assert (decisions[2] or "").startswith("in use by process ")
    assert ranks_left(storage) == [2, 4]


def test_a_release_that_is_being_prepared_is_kept(storage: Storage) -> None:
    name = name_of(storage, 2)
    staging = storage.staging(name)
    with storage.if_idle(f"release {name}"):
        assert (run(storage)[2] or "").endswith("works on it")
        assert staging.exists(), "another process is writing there"
    assert run(storage) == {2: None}
    assert not staging.exists(), "a killed process's leftovers go with the rest"


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something right after the next pruning has looked at the releases."""

    def list_and_act(storage: Storage) -> list[Entry]:
        entries = list_releases(storage)
        monkeypatch.setattr(inventory, "list_releases", list_releases)
        act()
        return entries

    monkeypatch.setattr(inventory, "list_releases", list_and_act)


def test_a_release_that_prepare_finds_during_a_pruning_is_kept(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    meanwhile(monkeypatch, lambda: outcomes.append(prepared(storage, 2).outcome))
    assert run(storage) == {4: None, 2: "asked for meanwhile", 1: None}
    assert outcomes == [Outcome.FOUND]
    assert ranks_left(storage) == [2], "prepare has just said that it is there"


def test_two_prunings_at_once_delete_the_same_releases(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    meanwhile(monkeypatch, lambda: run(storage))
    assert run(storage, newest=1) == {4: "among the newest 1", 2: None, 1: None}
    assert ranks_left(storage) == []


def test_a_mistyped_name_deletes_nothing(storage: Storage) -> None:
    with pytest.raises(ReleaseError, match="no release tiny; nothing was deleted"):
        run(storage, "tiny")
    assert ranks_left(storage) == [1, 2, 4]


def test_one_damaged_manifest_hides_no_other_release(storage: Storage) -> None:
    manifest = storage.release(name_of(storage, 2)) / MANIFEST_PATH
    manifest.write_text(manifest.read_text().replace('"created": "', '"created": 5, "x": "'))
    assert [len(entry.problems) for entry in list_releases(storage)] == [0, 0, 1]
    assert run(storage, newest=2) == {4: "among the newest 2", 1: "among the newest 2", 2: None}


def test_locks_that_may_not_be_written_are_told_with_their_path(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(lock: SoftFileLease, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), lock.lock_file)

    monkeypatch.setattr(SoftFileLease, "acquire", forbidden)
    with pytest.raises(StorageError, match=r"\.locks/.*: Permission denied\. Check the volume"):
        run(storage)
    assert ranks_left(storage) == [1, 2, 4]
