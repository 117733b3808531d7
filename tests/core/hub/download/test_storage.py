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


def test_a_wrong_thing_in_the_place_of_a_file_is_an_error_with_its_path(case: Case) -> None:
    (case.folder / "model.bin").mkdir(parents=True)
    with pytest.raises(FtServingError, match=rf"cannot write {case.folder}/model\.bin: "):
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
