"""The disk, and the memory."""

import errno
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.hub.download.case import CHILD, LARGE, PART, Case, tree
from tests.core.hub.faulty_hub import FaultyHub


def test_a_full_disk_is_an_error_that_keeps_the_parts(
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
        with pytest.raises(OSError, match="No space left"):
            case.run(connections=1)
    assert case.missing() == 30 * PART + 7
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}


def test_a_wrong_thing_in_the_place_of_a_file_is_an_error_with_its_path(case: Case) -> None:
    (case.folder / "model.bin").mkdir(parents=True)
    with pytest.raises(IsADirectoryError, match=rf"{case.folder}/model\.bin"):
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
