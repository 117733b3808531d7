"""A hub with faults, and a folder to download into."""

import io
import random
from pathlib import Path

from ft_serving.core.hub.client import Hub
from ft_serving.core.hub.download import download, missing_bytes
from ft_serving.core.progress import Progress
from tests.core.hub.faulty_hub import REPOSITORY, FaultyHub

PART = 1000
LARGE = random.Random(1).randbytes(32 * PART + 7)
FILES = {
    "model.bin": LARGE,
    "config.json": b"{}\n",
    "shards/two.bin": LARGE[: 3 * PART],
    "empty.bin": b"",
    "empty.txt": b"",
}

CHILD = """
import re
import sys
from pathlib import Path
from ft_serving.core.hub import parts
from ft_serving.core.hub.download import download
from ft_serving.core.hub.client import Hub
from ft_serving.core.progress import Progress

parts.PART_BYTES = int(sys.argv[3])
hub = Hub(sys.argv[1], None)
snapshot = hub.snapshot("some/model", "main")
with Progress() as progress:
    download(hub, snapshot, ["model.bin", "shards/two.bin"], Path(sys.argv[2]), progress)
"""
"""A program that downloads: its arguments are endpoint, folder and size of parts."""


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


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
