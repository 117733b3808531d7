"""Listing and pruning."""

import errno
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import SoftFileLease

from ft_serving.core.errors import FtServingError, ReleaseError
from ft_serving.core.manifest import MANIFEST_PATH, read_manifest
from ft_serving.core.storage import Storage, source_name
from ft_serving.weights import inventory
from ft_serving.weights.inventory import Entry, list_releases, prune
from ft_serving.weights.prepare import Outcome, Prepared
from tests.weights.models import random_checkpoint
from tests.weights.world import prepare_folder


def prepared(storage: Storage, ranks: int) -> Prepared:
    model = random_checkpoint(storage.root.with_name("model"))
    return prepare_folder(model, storage.root, tensor_parallel=ranks)


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with three releases, which no test may change."""
    storage = Storage(tmp_path_factory.mktemp("pattern") / "storage")
    for year, ranks in enumerate((1, 2, 4), start=2001):
        folder = prepared(storage, ranks).folder
        dated = replace(read_manifest(folder), created=f"{year}-01-01T00:00:00+00:00")
        (folder / MANIFEST_PATH).write_text(dated.to_json())
        os.utime(folder, (year, year))
    return storage.root


@pytest.fixture
def storage(pattern: Path, tmp_path: Path) -> Storage:
    """Three releases, named here by their tensor parallel size: 4 is the newest, then 2, then 1."""
    return Storage(shutil.copytree(pattern, tmp_path / "storage"))


def name_of(storage: Storage, ranks: int) -> str:
    (name,) = [name for name in storage.release_names() if f"-tp{ranks}-" in name]
    return name


def ranks_left(storage: Storage) -> list[int]:
    return sorted(int(name.split("-tp")[1].split("-")[0]) for name in storage.release_names())


def damage(storage: Storage, ranks: int) -> None:
    (storage.release(name_of(storage, ranks)) / "fastertransformer/1/model.wte.bin").unlink()


def run(storage: Storage, *keep: str, newest: int = 0) -> dict[int, str | None]:
    decisions = list(prune(storage, keep, newest))
    return {int(d.name.split("-tp")[1].split("-")[0]): d.kept_because for d in decisions}


def test_releases_are_listed_newest_first_with_their_state(storage: Storage) -> None:
    damage(storage, 2)
    with storage.lease(name_of(storage, 1)):
        entries = list_releases(storage)
    assert [entry.name for entry in entries] == [name_of(storage, n) for n in (4, 2, 1)]
    assert [len(entry.problems) for entry in entries] == [0, 1, 0]
    assert [len(entry.users) for entry in entries] == [0, 0, 1]


def test_the_newest_valid_releases_are_kept_besides_those_named(storage: Storage) -> None:
    assert run(storage, name_of(storage, 4), newest=1) == {
        4: "named",
        2: "among the newest 1",
        1: None,
    }
    damage(storage, 4)
    assert run(storage, newest=1) == {4: None, 2: "among the newest 1"}
    assert ranks_left(storage) == [2]
    assert list_releases(Storage(storage.root / "empty")) == []


def test_a_release_that_was_asked_for_again_is_the_newest(storage: Storage) -> None:
    os.utime(storage.release(name_of(storage, 1)))
    assert run(storage, newest=1) == {4: None, 2: None, 1: "among the newest 1"}


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
    # For its place: the storage is a copy.
    os.utime(prepared(storage, 2).folder, (2002, 2002))
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


def download(storage: Storage, repository: str, *, hours_old: float) -> Path:
    """Leave a half-finished download, last written to so long ago."""
    folder = storage.claim(repository, "a" * 40, ["sub/model.bin"])
    part = folder / "sub" / "model.bin.part"
    part.parent.mkdir()
    part.write_bytes(b"half")
    then = time.time() - hours_old * 3600
    for path in (folder / ".ft-serving", part, part.parent, folder):
        os.utime(path, (then, then))
    return folder


def test_downloads_that_were_given_up_are_deleted(storage: Storage) -> None:
    old = [download(storage, name, hours_old=25) for name in ("owner/old", "old")]
    new = download(storage, "owner/new", hours_old=25)
    (new / "sub" / "model.bin.part").write_bytes(b"more")
    busy = download(storage, "owner/busy", hours_old=25)
    kept = [name_of(storage, ranks) for ranks in (4, 2, 1)]
    with storage.if_idle(source_name("owner/busy", busy.name)):
        decisions = list(prune(storage, kept, 0))[3:]
    said = {decision.name: decision.kept_because for decision in decisions}
    assert (said.pop(f"models/owner/busy/{busy.name}") or "").endswith(" works on it")
    assert said == {
        f"models/old/{'a' * 40}": None,
        f"models/owner/old/{'a' * 40}": None,
        f"models/owner/new/{'a' * 40}": "written to within a day",
    }
    assert [folder.exists() for folder in (*old, new, busy)] == [False, False, True, True]
    assert storage.leftovers() == []


def test_two_prunings_at_once_delete_the_same_downloads(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = download(storage, "old", hours_old=25)
    listed = storage.sources()
    storage.delete_source("old", folder.name)
    monkeypatch.setattr(Storage, "sources", lambda _: listed)
    (decision,) = list(prune(storage, (), 3))[3:]
    assert decision.kept_because is None


def test_a_folder_that_is_no_download_is_not_pruned(storage: Storage) -> None:
    local = storage.root / "models" / "mine" / "v1"
    local.mkdir(parents=True)
    inner = download(storage, "mine", hours_old=0) / ("b" * 40)
    inner.mkdir()
    for path in (local, inner):
        os.utime(path, (1, 1))
    list(prune(storage, (), 3))
    assert local.exists()
    assert inner.exists(), "a folder of a download is not a download"


def test_a_mistyped_name_deletes_nothing(storage: Storage) -> None:
    with pytest.raises(ReleaseError, match="no release tiny; nothing was deleted"):
        run(storage, "tiny")
    assert ranks_left(storage) == [1, 2, 4]


def test_a_lost_and_a_damaged_manifest_hide_no_other_release(storage: Storage) -> None:
    manifest = storage.release(name_of(storage, 2)) / MANIFEST_PATH
    manifest.write_text(manifest.read_text().replace('"created": "', '"created": 5, "x": "'))
    (storage.release(name_of(storage, 4)) / MANIFEST_PATH).unlink()
    sound, *others = list_releases(storage)
    assert sound.problems == ()
    assert {entry.manifest for entry in others} == {None}
    assert any("never finished" in entry.problems[0] for entry in others)
    assert run(storage, newest=2) == {1: "among the newest 2", 2: None, 4: None}


def test_locks_that_may_not_be_written_are_told_with_their_path(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(lock: SoftFileLease, **_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), lock.lock_file)

    monkeypatch.setattr(SoftFileLease, "acquire", forbidden)
    with pytest.raises(FtServingError, match=r"\.locks/.*: Permission denied\. Check the volume"):
        run(storage)
    assert ranks_left(storage) == [1, 2, 4]
