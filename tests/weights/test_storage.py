"""Who may change what in a storage, and what others see meanwhile."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import SoftFileLease

from ft_serving.core import storage as storage_module
from ft_serving.core.errors import FtServingError
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage

HOLD = """
import sys, time
from pathlib import Path
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
storage = Storage(Path(sys.argv[1]))
storage.create()
held = storage.lease("a") if sys.argv[2] == "lease" else storage.exclusive("a", Progress())
with held:
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    storage = Storage(tmp_path)
    storage.create()
    return storage


def hold(storage: Storage, kind: str) -> subprocess.Popen[str]:
    """Start a process that holds a lock or a lease on "a" until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, storage.root, kind], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    process.wait()
    if process.stdout:
        process.stdout.close()


def test_a_path_of_a_storage_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert Storage(Path("volume")).release("r") == tmp_path / "volume/triton-model-store/r"


def test_a_storage_that_cannot_be_created_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FtServingError, match="file/volume: cannot be written"):
        Storage(tmp_path / "file" / "volume").create()


def test_a_lease_names_its_holder_until_it_ends(storage: Storage) -> None:
    with storage.lease("a"):
        (user,) = storage.users("a")
        assert user.startswith(f"process {os.getpid()} on ")
        assert storage.users("b") == []
    assert storage.users("a") == []


def test_a_lease_that_cannot_be_written_is_told_with_its_path(storage: Storage) -> None:
    (storage.root / ".leases" / "a").write_text("")
    with pytest.raises(FtServingError, match=r"\.leases/a: File exists\. "), storage.lease("a"):
        pass


def test_two_processes_may_use_a_release_at_once(storage: Storage) -> None:
    other = hold(storage, "lease")
    with storage.lease("a"):
        assert len(storage.users("a")) == 2
    end(other, signal.SIGTERM)


def test_a_lease_ends_with_a_killed_process_at_once(storage: Storage) -> None:
    process = hold(storage, "lease")
    assert len(storage.users("a")) == 1
    end(process, signal.SIGKILL)
    assert storage.users("a") == []


def test_a_lease_of_another_machine_ends_when_its_heartbeat_does(storage: Storage) -> None:
    process = hold(storage, "lease")
    (marker,) = (storage.root / ".leases" / "a").iterdir()
    process.send_signal(signal.SIGSTOP)
    host, elsewhere = os.uname().nodename.encode(), b"elsewhere"
    marker.write_bytes(marker.read_bytes().replace(host, elsewhere))
    assert len(storage.users("a")) == 1, "a live heartbeat counts, wherever its process is"
    old = time.time() - storage_module.LEASE_SECONDS - 1
    os.utime(marker, (old, old))
    assert storage.users("a") == []
    end(process, signal.SIGKILL)


def test_a_lock_is_taken_over_from_a_killed_process(storage: Storage) -> None:
    process = hold(storage, "lock")
    end(process, signal.SIGKILL)
    said = io.StringIO()
    with storage.exclusive("a", Progress(said)):
        assert said.getvalue() == ""


def test_who_waits_for_a_lock_says_for_whom_and_gets_it(storage: Storage) -> None:
    process = hold(storage, "lock")
    said = io.StringIO()
    threading.Timer(0.5, end, (process, signal.SIGTERM)).start()
    with storage.exclusive("a", Progress(said)):
        assert process.poll() is not None, "the lock must not be had while another has it"
    assert f"Waiting for process {process.pid} on " in said.getvalue()


def test_a_held_lock_is_seen_without_waiting(storage: Storage) -> None:
    process = hold(storage, "lock")
    with storage.if_idle("a") as holder:
        assert holder is not None
        assert f"process {process.pid} " in holder
    end(process, signal.SIGTERM)
    with storage.if_idle("a") as holder:
        assert holder is None


def kill_elsewhere(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Leave a lock on "a" as a process killed on another machine does; return its marker."""
    monkeypatch.setattr(storage_module, "LEASE_SECONDS", 1.0)
    end(hold(storage, "lock"), signal.SIGKILL)
    marker = storage.root / ".locks" / "a.lock"
    host, elsewhere = os.uname().nodename.encode(), b"elsewhere"
    content = marker.read_bytes().replace(host, elsewhere)
    marker.write_bytes(content.replace(b"60.0", b"1.0"))
    return marker


def test_a_lock_of_a_process_killed_on_another_machine_is_taken_over_once_it_is_old(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = kill_elsewhere(storage, monkeypatch)
    with storage.if_idle("a") as holder:
        assert (holder or "").endswith(" on elsewhere"), "it may still be at work"
    old = time.time() - 2
    os.utime(marker, (old, old))
    with storage.if_idle("a") as holder:
        assert holder is None
        assert b"elsewhere" not in marker.read_bytes(), "others must see who works now"
    assert not marker.exists()


def test_an_old_lock_that_no_room_is_left_to_take_over_counts_as_gone(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = kill_elsewhere(storage, monkeypatch)
    old = time.time() - 2
    os.utime(marker, (old, old))
    monkeypatch.setattr(storage_module, "_TAKE_OVER_SECONDS", 0.1)
    # filelock makes the record of a takeover here, and rides out what the volume answers.
    monkeypatch.setattr(SoftFileLease, "_take_over", lambda *_: None)
    with storage.if_idle("a") as holder:
        assert holder is None


def test_a_used_release_is_not_deleted(storage: Storage) -> None:
    storage.staging("a").rename(storage.release("a"))
    with storage.lease("a"):
        assert (storage.delete_release("a") or "").startswith("in use by process ")
        assert storage.release_names() == ["a"]
    assert storage.delete_release("a") is None
    assert storage.release_names() == []


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
