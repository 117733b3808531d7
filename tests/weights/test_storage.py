"""Locks, leases, and the deletion of a release that somebody may use."""

import errno
import io
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage

HOLD = """
import sys, time
from pathlib import Path
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
storage = Storage(Path(sys.argv[1]))
with storage.lease("a"), storage.exclusive("a", Progress()):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path)
    storage.create()
    return storage


@contextmanager
def holder(storage: Storage) -> Iterator[subprocess.Popen[str]]:
    """Run a process that holds the lock and a lease on "a"; kill it in the end."""
    command = [sys.executable, "-c", HOLD, str(storage.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def mark_elsewhere(storage: Storage, marker: Path, *, seconds_old: float) -> None:
    """Write the marker of a process of another machine, with a heartbeat so long ago."""
    with storage.lease("pattern"):
        (own,) = (storage.root / ".leases" / "pattern").iterdir()
        content = own.read_bytes().replace(os.uname().nodename.encode(), b"elsewhere")
    marker.parent.mkdir(exist_ok=True)
    marker.write_bytes(content)
    then = time.time() - seconds_old
    os.utime(marker, (then, then))


def lock_of(storage: Storage) -> Path:
    return storage.root / ".locks" / "a.lock"


def test_a_path_of_a_storage_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage(Path("volume")).release("r") == tmp_path / "volume/triton-model-store/r"


def test_a_storage_that_cannot_be_created_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FtServingError, match="file/volume: cannot be written"):
        Storage(tmp_path / "file" / "volume").create()


def test_a_lease_that_cannot_be_written_is_told_with_its_path(storage: Storage) -> None:
    (storage.root / ".leases" / "a").write_text("")
    with pytest.raises(FtServingError, match=r"\.leases/a: File exists\. "), storage.lease("a"):
        pass


def test_a_lease_names_its_holder_until_it_ends_and_keeps_the_release(storage: Storage) -> None:
    storage.staging("a").rename(storage.release("a"))
    with storage.lease("a"):
        (user,) = storage.users("a")
        assert user.startswith(f"process {os.getpid()} on ")
        assert storage.shown_users("a") == [user]
        assert storage.users("b") == []
        assert storage.delete_release("a") == f"in use by {user}"
        assert storage.release_names() == ["a"]
    assert storage.users("a") == []
    assert storage.delete_release("a") is None
    assert storage.release_names() == []


def test_locks_and_leases_of_a_killed_process_end_with_it(storage: Storage) -> None:
    with holder(storage) as process:
        with storage.lease("a"):
            assert len(storage.users("a")) == 2
        with storage.if_idle("a") as found:
            assert f"process {process.pid} on " in (found or "")
    said = io.StringIO()
    with storage.exclusive("a", Progress(said)):
        assert said.getvalue() == ""
    assert storage.users("a") == []


def test_who_waits_for_a_lock_says_for_whom_and_gets_it(storage: Storage) -> None:
    with holder(storage) as process:

        class Said(io.StringIO):
            def write(self, text: str) -> int:
                assert process.poll() is None, "there is nothing to wait for"
                process.terminate()
                process.wait()
                return super().write(text)

        said = Said()
        with storage.exclusive("a", Progress(said)):
            assert process.poll() is not None, "only one may have the lock"
        where = f"process {process.pid} on {os.uname().nodename}"
        assert said.getvalue() == f"Waiting for {where}, which works on a.\n"


def test_a_lease_of_another_machine_ends_when_its_heartbeat_does(storage: Storage) -> None:
    marker = storage.root / ".leases" / "a" / "elsewhere-1"
    mark_elsewhere(storage, marker, seconds_old=30)
    assert storage.users("a") == [f"process {os.getpid()} on elsewhere"]
    mark_elsewhere(storage, marker, seconds_old=61)
    assert storage.users("a") == []


@pytest.mark.parametrize("volume", ["local", "NFS"])
def test_a_lock_of_a_pod_that_is_gone_is_taken_over(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, volume: str
) -> None:
    if volume == "NFS":
        # As filelock does where rename(2) refuses to exchange two names.
        monkeypatch.setattr("filelock._soft.exchange_names", lambda *_: False)
    mark_elsewhere(storage, lock_of(storage), seconds_old=30)
    with storage.if_idle("a") as found:
        assert found == f"process {os.getpid()} on elsewhere", "it may still be at work"
    mark_elsewhere(storage, lock_of(storage), seconds_old=61)
    with storage.exclusive("a", Progress(io.StringIO())):
        assert b"elsewhere" not in lock_of(storage).read_bytes(), "others must see who works now"
    assert not lock_of(storage).exists()


def test_a_full_volume_has_no_room_for_a_lock_and_is_idle_unless_another_holds_it(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(lock: filelock.SoftFileLease, **_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), lock.lock_file)

    monkeypatch.setattr(filelock.SoftFileLease, "acquire", full)
    with storage.if_idle("a") as found:
        assert found is None
    lock_of(storage).write_text("another's")
    with pytest.raises(OSError, match="No space left"), storage.if_idle("a"):
        pass


def test_a_lease_taken_during_a_deletion_brings_the_release_back(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage.staging("a").rename(storage.release("a"))
    answers = iter([[], ["process 1 on late"]])
    monkeypatch.setattr(Storage, "users", lambda *_: next(answers))
    assert storage.delete_release("a") == "in use by process 1 on late"
    assert storage.release("a").is_dir()


def test_leftovers_are_no_releases(storage: Storage) -> None:
    folder = storage.staging("a-b")
    assert storage.release_names() == []
    assert storage.leftovers() == [("a-b", folder)]
