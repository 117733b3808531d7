"""The disk, and the memory."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from ft_serving.core.errors import FtServingError
from tests.core.hub.download.case import CHILD, LARGE, PART, Case, tree
from tests.core.hub.faulty_hub import FaultyHub


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
        with pytest.raises(FtServingError) as caught:
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
        with pytest.raises(FtServingError, match="no room: 0 B are free"):
            case.run()
        subprocess.run(["mount", "-o", "remount,size=1m", str(case.folder)], check=True)
        case.run()
        assert tree(case.folder) == {"model.bin": LARGE}
    finally:
        subprocess.run(["umount", str(case.folder)], check=True)


def test_a_folder_in_the_place_of_a_file_is_an_error_with_its_path(case: Case) -> None:
    (case.folder / "model.bin").mkdir(parents=True)
    with pytest.raises(FtServingError, match=rf"cannot write {case.folder}/model\.bin: "):
        case.run()


def test_a_file_in_the_place_of_the_folder_is_an_error_with_its_path(case: Case) -> None:
    case.folder.parent.mkdir()
    case.folder.write_bytes(b"")
    with pytest.raises(FtServingError, match=f"cannot write {case.folder}: "):
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
