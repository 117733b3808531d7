"""The downloader: parts, journals, kills, lies and a full disk."""

import errno
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ft_serving.errors import IntegrityError, StorageError
from ft_serving.hub import parts, retry, stream, transport
from ft_serving.hub.client import Hub
from ft_serving.hub.download import download, missing_bytes
from ft_serving.hub.errors import HubError
from ft_serving.progress import Progress
from tests.hub.faulty_hub import REPOSITORY, Fault, FaultyHub, metadata

PART = 1000
LARGE = random.Random(1).randbytes(32 * PART + 7)
FILES = {
    "model.bin": LARGE,
    "config.json": b"{}\n",
    "shards/two.bin": LARGE[: 3 * PART],
    "empty.bin": b"",
    "empty.txt": b"",
}


@pytest.fixture(autouse=True)
def _small_and_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", PART)
    monkeypatch.setattr(stream, "READ_BYTES", 256)
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.001)


@pytest.fixture
def faulty() -> Iterator[FaultyHub]:
    with FaultyHub(FILES) as server:
        yield server


class Case:
    """A hub, the snapshot of its files, and a folder to download into."""

    def __init__(self, faulty: FaultyHub, folder: Path) -> None:
        self.hub = Hub(faulty.endpoint, "hf_token")
        self.snapshot = self.hub.snapshot(REPOSITORY, "main")
        self.folder = folder
        self.log = io.StringIO()

    def run(self, *names: str, connections: int = 4) -> None:
        with Progress(self.log) as progress:
            download(
                self.hub,
                self.snapshot,
                names or ("model.bin",),
                self.folder,
                progress,
                connections,
            )

    def missing(self, *names: str) -> int:
        return missing_bytes(self.snapshot, names or ("model.bin",), self.folder)


@pytest.fixture
def case(faulty: FaultyHub, tmp_path: Path) -> Case:
    return Case(faulty, tmp_path / "models" / "here")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("connections", [1, 4, 9])
def test_files_arrive_whole_under_their_names_and_nothing_else_stays(
    case: Case, connections: int
) -> None:
    assert case.missing(*FILES) == 35 * PART + 7 + 3
    case.run(*FILES, connections=connections)
    assert tree(case.folder) == FILES
    assert case.missing(*FILES) == 0


def test_parts_are_fetched_once_each_and_by_ranges(case: Case, faulty: FaultyHub) -> None:
    case.run("model.bin", "model.bin")
    ranges = sorted(request.headers["range"] for request in faulty.content_requests)
    assert ranges == sorted(
        [f"bytes={start}-{start + 999}" for start in range(0, 32_000, 1000)] + ["bytes=32000-32006"]
    )


def test_only_the_files_asked_for_are_fetched(case: Case) -> None:
    case.run("config.json")
    assert tree(case.folder) == {"config.json": b"{}\n"}


def test_a_file_that_the_snapshot_lacks_is_refused_before_anything_is_fetched(
    case: Case, faulty: FaultyHub
) -> None:
    with pytest.raises(HubError, match=r"no file 'other\.bin'"):
        case.run("config.json", "other.bin")
    assert faulty.content_requests == []


def test_names_of_unfinished_files_are_refused(case: Case) -> None:
    with pytest.raises(HubError, match=r"a\.part, b\.part\.journal: names that end so"):
        case.run("a.part", "model.bin", "b.part.journal")


def test_verified_files_are_not_fetched_again(case: Case, faulty: FaultyHub) -> None:
    case.run(*FILES)
    faulty.requests.clear()
    case.run(*FILES)
    assert faulty.content_requests == []
    assert tree(case.folder) == FILES
    assert "nothing to do, 34.2 KiB were there" in case.log.getvalue()


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda content: b"x" + content[1:], "model.bin: what is here has the hash"),
        (lambda content: content[:-1], "model.bin: not of the hub's size"),
        (lambda content: b"", "model.bin: not of the hub's size"),
    ],
)
def test_an_altered_file_is_replaced_and_the_user_told(
    case: Case, alter: Callable[[bytes], bytes], said: str
) -> None:
    case.run("model.bin", "config.json")
    (case.folder / "model.bin").write_bytes(alter(LARGE))
    case.run("model.bin", "config.json")
    assert tree(case.folder) == {"model.bin": LARGE, "config.json": b"{}\n"}
    assert said in case.log.getvalue()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(status=429, headers={"Retry-After": "0"}),
        Fault(drop_after=0),
        Fault(drop_after=300),
        Fault(stall_after=300),
        Fault(ignore_range=True),
        Fault(ignore_range=True, without_length=True),
        Fault(ignore_range=True, drop_after=5300),
        Fault(headers={"Content-Range": "bytes 0-999/5000"}),
        Fault(headers={"Content-Range": ""}),
    ],
)
def test_passing_faults_of_any_kind_are_overcome(
    case: Case, faulty: FaultyHub, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.2)
    faulty.content_faults.extend([fault] * 5)
    case.run(*FILES)
    assert tree(case.folder) == FILES


def test_a_dropped_connection_goes_on_within_the_part(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.append(Fault(drop_after=512))
    case.run("shards/two.bin", connections=1)
    assert [request.headers["range"] for request in faulty.content_requests] == [
        "bytes=0-999",
        "bytes=512-999",
        "bytes=1000-1999",
        "bytes=2000-2999",
    ]
    assert "shards/two.bin: lost the connection to http://127.0.0.1" in case.log.getvalue()


def test_tries_are_counted_anew_where_a_connection_moves_on(
    case: Case, faulty: FaultyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 32 * PART)
    faulty.content_faults.extend([Fault(drop_after=256)] * 20)
    case.run(connections=1)
    assert tree(case.folder) == {"model.bin": LARGE}


def test_a_server_that_never_gets_further_is_given_up(case: Case, faulty: FaultyHub) -> None:
    faulty.always = Fault(drop_after=0)
    with pytest.raises(HubError, match=r"model\.bin: lost the connection .*last of 7 tries"):
        case.run()


@pytest.mark.parametrize("connections", [1, 4])
def test_a_server_without_ranges_sends_the_file_in_one_stream(
    case: Case, faulty: FaultyHub, connections: int
) -> None:
    faulty.always = Fault(ignore_range=True)
    case.run(connections=connections)
    assert tree(case.folder) == {"model.bin": LARGE}
    assert len(faulty.content_requests) <= connections, "the rest of a stream must not be wasted"


def test_a_stream_without_ranges_survives_drops(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend(
        Fault(ignore_range=True, drop_after=count) for count in (500, 9000, 17_000)
    )
    faulty.always = Fault(ignore_range=True)
    case.run(connections=1)
    assert tree(case.folder) == {"model.bin": LARGE}
    assert len(faulty.content_requests) == 4


def test_wrong_bytes_are_fetched_once_more(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.append(Fault(flip_a_byte=True))
    case.run("model.bin", "config.json")
    assert tree(case.folder) == {"model.bin": LARGE, "config.json": b"{}\n"}
    assert "model.bin: what came has the hash" in case.log.getvalue()
    assert "download model.bin  31.3 KiB in " in case.log.getvalue()
    assert len(faulty.content_requests) == 33 + 1 + 33


@pytest.mark.parametrize("name", ["shards/two.bin", "config.json"])
def test_bytes_that_stay_wrong_are_an_error_and_not_kept(
    case: Case, faulty: FaultyHub, name: str
) -> None:
    faulty.always = Fault(flip_a_byte=True)
    expected = case.snapshot.file(name).digest
    with pytest.raises(IntegrityError, match=rf"{name}: {faulty.endpoint} .*twice.*{expected}"):
        case.run(name)
    assert tree(case.folder) == {}
    faulty.always = None
    case.run(name)
    assert tree(case.folder) == {name: FILES[name]}


def test_a_file_has_its_name_only_when_it_was_verified(case: Case, faulty: FaultyHub) -> None:
    faulty.always = Fault(flip_a_byte=True)
    seen: list[bool] = []
    faulty.on_content = lambda _: seen.append((case.folder / "shards/two.bin").exists())
    with pytest.raises(IntegrityError):
        case.run("shards/two.bin")
    assert len(seen) == 6
    assert not any(seen)


def test_an_end_by_refusal_stops_all_and_keeps_the_parts(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend([Fault()] * 10 + [Fault(status=404)])
    began = time.monotonic()
    with pytest.raises(HubError, match=r"has no file 'model\.bin'"):
        case.run()
    assert time.monotonic() - began < 8
    assert len(faulty.content_requests) < 33
    missing = case.missing()
    assert 0 < missing < 32 * PART + 7
    faulty.requests.clear()
    case.run()
    assert sum(request.nbytes for request in faulty.content_requests) == missing
    assert tree(case.folder) == {"model.bin": LARGE}


def test_a_failure_does_not_wait_for_a_stalled_connection(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend([Fault(stall_after=10)] * 3 + [Fault(status=404)])
    began = time.monotonic()
    with pytest.raises(HubError, match="has no file"):
        case.run()
    assert time.monotonic() - began < 8, "the read time-out is 30 s; the stalled reads are woken"
    assert "trying again" not in case.log.getvalue()


@pytest.mark.parametrize("stall_after", [0, 300])
def test_an_interrupt_ends_at_once_and_keeps_the_parts(
    case: Case, faulty: FaultyHub, stall_after: int
) -> None:
    faulty.content_faults.extend([Fault()] * 8 + [Fault(stall_after=stall_after)] * 4)
    main = threading.main_thread().ident
    assert main

    def interrupt(count: int) -> None:
        if count == 12:
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()

    faulty.on_content = interrupt
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert time.monotonic() - began < 8
    assert case.missing() == 32 * PART + 7 - 8 * PART
    assert not [thread for thread in threading.enumerate() if "download-" in thread.name]
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}


def test_an_interrupt_during_a_long_wait_ends_at_once(case: Case, faulty: FaultyHub) -> None:
    faulty.always = Fault(status=429, headers={"Retry-After": "60"})
    main = threading.main_thread().ident
    assert main
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert time.monotonic() - began < 8


def test_an_abort_while_connecting_ends_the_read_that_follows(
    case: Case, faulty: FaultyHub
) -> None:
    reader = stream.Stream(
        case.hub.source(case.snapshot, "model.bin"), retry.Backoff("x", lambda _: None)
    )
    faulty.on_content = lambda _: reader.abort()
    faulty.always = Fault(stall_after=0)
    began = time.monotonic()
    with reader, pytest.raises(stream.AbortedError):
        reader.seek(0, PART)
        reader.read()
    assert time.monotonic() - began < 8, "the read time-out is 30 s"


def test_an_interrupt_does_not_wait_for_a_server_that_says_nothing(
    case: Case, faulty: FaultyHub
) -> None:
    def say_nothing(_: int) -> None:
        faulty.ended.wait()

    faulty.on_content = say_nothing
    main = threading.main_thread().ident
    assert main
    threading.Timer(0.3, signal.pthread_kill, (main, signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert time.monotonic() - began < 8, "the read time-out is 30 s"


CHILD = """
import re
import sys
from pathlib import Path
from ft_serving.hub import parts
from ft_serving.hub.download import download
from ft_serving.hub.client import Hub
from ft_serving.progress import Progress

parts.PART_BYTES = int(sys.argv[3])
hub = Hub(sys.argv[1], None)
snapshot = hub.snapshot("some/model", "main")
with Progress() as progress:
    download(hub, snapshot, ["model.bin", "shards/two.bin"], Path(sys.argv[2]), progress)
"""


@pytest.mark.parametrize("moment", [1, 5, 17, 33, 36])
def test_a_kill_at_any_moment_costs_at_most_a_part_a_connection(
    case: Case, faulty: FaultyHub, moment: int
) -> None:
    reached = threading.Event()

    def hold(count: int) -> None:
        if count == moment:
            reached.set()
        if count >= moment:
            faulty.ended.wait(0.5)

    faulty.on_content = hold
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, faulty.endpoint, str(case.folder), str(PART)]
    )
    assert reached.wait(30)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    faulty.on_content = lambda _: None
    case.run("model.bin", "shards/two.bin")
    assert tree(case.folder) == {"model.bin": LARGE, "shards/two.bin": LARGE[: 3 * PART]}
    asked = sum(request.nbytes for request in faulty.content_requests)
    assert asked - (35 * PART + 7) <= 4 * PART


def journal(case: Case, *lines: bytes) -> bytes:
    digest = case.snapshot.file("model.bin").digest
    return b"".join([f"{digest} 32007 1000\n".encode(), *lines])


def begin(case: Case, content: bytes, text: bytes) -> None:
    case.folder.mkdir(parents=True)
    (case.folder / "model.bin.part").write_bytes(content)
    (case.folder / "model.bin.part.journal").write_bytes(text)


def test_parts_in_the_journal_are_not_fetched_again(case: Case, faulty: FaultyHub) -> None:
    begin(case, LARGE[:3000] + bytes(29_007), journal(case, b"0\n", b"2\n", b"1\n"))
    assert case.missing() == 29_007
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert sum(request.nbytes for request in faulty.content_requests) == 29_007
    assert "download  2.9 KiB of 31.3 KiB  9%\n" in case.log.getvalue()


def test_a_journal_whose_content_is_wrong_costs_a_fresh_start(
    case: Case, faulty: FaultyHub
) -> None:
    begin(case, bytes(32_007), journal(case, b"0\n", b"1\n"))
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert "what is here has the hash" in case.log.getvalue()


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b"1", 1),
        (b"1\n3", 2),
        (b"x\n1\n", 1),
        (b"33\n1\n", 2),
        (b"-1\n", 1),
        (b"\n1\n", 1),
        (b"\0\0\0\0", 1),
        (b"0\n1\n", 2),
        (b"9" * 5000 + b"\n", 1),
    ],
)
def test_a_torn_or_damaged_journal_counts_up_to_the_damage(
    case: Case, tail: bytes, kept: int
) -> None:
    begin(case, LARGE[:2000] + bytes(30_007), journal(case, b"0\n", tail))
    assert case.missing() == 32_007 - kept * PART
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert "again" not in case.log.getvalue(), "a torn line must not pass for a finished part"


def test_a_line_written_after_a_torn_one_does_not_run_into_it(
    case: Case, faulty: FaultyHub
) -> None:
    begin(case, LARGE[:1000] + bytes(31_007), journal(case, b"0\n", b"1"))
    faulty.content_faults.extend([Fault(), Fault(status=404)])
    with pytest.raises(HubError):
        case.run(connections=1)
    text = (case.folder / "model.bin.part.journal").read_bytes()
    assert text == journal(case, b"0\n", b"1\n")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (LARGE, b"another-digest 32007 1000\n0\n"),
        (LARGE, b""),
        (LARGE[:-1], None),
        (b"", None),
    ],
)
def test_parts_of_another_content_are_not_used(
    case: Case, faulty: FaultyHub, content: bytes, text: bytes | None
) -> None:
    begin(case, content, journal(case, b"0\n") if text is None else text)
    assert case.missing() == 32_007
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert sum(request.nbytes for request in faulty.content_requests) == 32_007


def test_a_file_that_changed_upstream_starts_anew(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend([Fault()] * 9 + [Fault(status=404)])
    with pytest.raises(HubError):
        case.run()
    changed = LARGE[::-1]
    faulty.files["model.bin"] = changed
    faulty.metadata = metadata(faulty.files)
    case.snapshot = case.hub.snapshot(REPOSITORY, "main")
    faulty.requests.clear()
    case.run()
    assert tree(case.folder) == {"model.bin": changed}
    assert sum(request.nbytes for request in faulty.content_requests) == 32_007


def test_a_journal_left_by_a_kill_after_the_rename_is_removed(case: Case) -> None:
    begin(case, b"", journal(case, b"0\n"))
    (case.folder / "model.bin.part").unlink()
    (case.folder / "model.bin").write_bytes(LARGE)
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}


def test_the_storage_that_a_hub_redirects_to_is_asked_directly_from_then_on(
    case: Case, faulty: FaultyHub
) -> None:
    with FaultyHub(FILES) as storage:
        faulty.redirect_to = storage
        case.run(connections=1)
        assert tree(case.folder) == {"model.bin": LARGE}
        assert len(faulty.content_requests) == 1
        assert len(storage.content_requests) == 33
        assert all("authorization" not in request.headers for request in storage.requests)


def test_an_expired_address_is_replaced_by_asking_the_hub_again(
    case: Case, faulty: FaultyHub
) -> None:
    with FaultyHub(FILES) as storage:
        faulty.redirect_to = storage
        storage.content_faults.extend([Fault()] * 10 + [Fault(status=403)])
        case.run(connections=1)
        assert tree(case.folder) == {"model.bin": LARGE}
        assert len(faulty.content_requests) == 2


def test_a_full_disk_says_how_much_is_free_and_missing_and_keeps_the_parts(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = os.pwrite

    def pwrite(handle: int, data: memoryview, offset: int) -> int:
        if len(written) == 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(offset)
        return real(handle, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", pwrite)
        with pytest.raises(StorageError) as caught:
            case.run(connections=1)
    message = str(caught.value)
    assert message.startswith(f"{case.folder}: no room: ")
    assert " are free, 29.3 KiB still to be fetched; enlarge the volume" in message
    assert "what was fetched is kept" in message
    assert case.missing() == 30 * PART + 7
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}


def test_what_a_crash_of_the_machine_left_of_a_file_is_fetched_again(case: Case) -> None:
    case.run()
    file = case.folder / "model.bin"
    file.write_bytes(bytes(file.stat().st_size))
    case.run()
    assert file.read_bytes() == LARGE, "nothing waits for the disk, so zeros may carry the name"


@pytest.mark.slow
def test_a_really_full_disk_is_reported_too(case: Case, tmp_path: Path) -> None:
    case.folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", case.folder], check=True)
    try:
        with pytest.raises(StorageError, match="no room: 0 B are free"):
            case.run()
        subprocess.run(["mount", "-o", "remount,size=1m", str(case.folder)], check=True)
        case.run()
        assert tree(case.folder) == {"model.bin": LARGE}
    finally:
        subprocess.run(["umount", str(case.folder)], check=True)


def test_a_folder_in_the_place_of_a_file_is_an_error_with_its_path(case: Case) -> None:
    (case.folder / "model.bin").mkdir(parents=True)
    with pytest.raises(StorageError, match=rf"cannot write {case.folder}/model\.bin: "):
        case.run()


def test_a_file_in_the_place_of_the_folder_is_an_error_with_its_path(case: Case) -> None:
    case.folder.parent.mkdir()
    case.folder.write_bytes(b"")
    with pytest.raises(StorageError, match=f"cannot write {case.folder}: "):
        case.run()


@pytest.mark.slow
def test_memory_stays_small_whatever_the_size(tmp_path: Path) -> None:
    content = random.Random(2).randbytes(1 << 20) * 256
    code = CHILD + "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])"
    with FaultyHub({"model.bin": content, "shards/two.bin": content}) as faulty:
        done = subprocess.run(
            [sys.executable, "-c", code, faulty.endpoint, str(tmp_path), str(16 << 20)],
            stdout=subprocess.PIPE,
            check=True,
        )
    assert int(done.stdout) < 128 << 10
