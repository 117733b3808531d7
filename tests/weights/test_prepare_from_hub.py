"""The whole way from a hub: the mirror of the embedded platform serves it."""

import errno
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.client import Hub, RemoteFile, Snapshot
from ft_serving.core.manifest import MANIFEST_PATH
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_sizes, file_sha256
from ft_serving.weights import source
from ft_serving.weights.errors import CheckpointError
from ft_serving.weights.prepare import Outcome, Prepared, prepare
from ft_serving.weights.source import HubSource, LocalSource
from local_platform.hub.server import HubServer
from tests.weights.models import random_checkpoint
from tests.weights.world import SETTINGS

MODELS = Path(__file__).parents[2] / "models"


class FromHub:
    """A volume, and releases prepared on it from a hub."""

    def __init__(self, volume: Path, url: str) -> None:
        self.volume = volume
        self.storage = Storage(volume)
        self.storage.create()
        self.url = url
        self.said = io.StringIO()

    def source(self, repository: str = "tiny-gptj", revision: str = "main") -> HubSource:
        progress = Progress(self.said)
        return HubSource(Hub(self.url, None), repository, revision, self.storage, progress)

    def prepare(
        self, repository: str = "tiny-gptj", revision: str = "main", **changes: Any
    ) -> Prepared:
        source = self.source(repository, revision)
        return prepare(source, replace(SETTINGS, **changes), self.storage, Progress(self.said))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with HubServer(MODELS) as server:
        yield server.url


@pytest.fixture
def it(tmp_path: Path, url: str) -> FromHub:
    return FromHub(tmp_path / "volume", url)


def test_a_branch_is_resolved_to_its_commit_which_is_recorded(it: FromHub) -> None:
    manifest = it.prepare().manifest
    assert len(manifest.spec.revision) == 40
    assert (manifest.spec.repository, manifest.origin) == ("tiny-gptj", it.url)
    digests = {file.name: file.digest for file in manifest.source}
    assert digests.keys() == {"config.json", "model.safetensors"}
    assert digests["model.safetensors"].startswith("sha256:")
    folder = it.volume / "models/tiny-gptj" / manifest.spec.revision
    assert (folder / "model.safetensors").is_file()


def test_the_hub_and_a_folder_give_the_same_weights(it: FromHub) -> None:
    from_hub = it.prepare().manifest
    progress = Progress(it.said)
    local = LocalSource(MODELS / "tiny-gptj", (), progress)
    from_folder = prepare(local, SETTINGS, it.storage, progress).manifest
    assert from_hub.spec.name != from_folder.spec.name
    hub_bins, folder_bins = (
        {f.path: f.sha256 for f in manifest.files if f.path.endswith(".bin")}
        for manifest in (from_hub, from_folder)
    )
    assert hub_bins == folder_bins


def test_a_valid_release_of_a_commit_needs_neither_hub_nor_download(it: FromHub) -> None:
    first = it.prepare()
    it.source().drop()
    assert not list((it.volume / "models").rglob("*.safetensors"))
    assert check_sizes(first.folder) == []
    it.url = "http://127.0.0.1:1"
    again = it.prepare(revision=first.manifest.spec.revision)
    assert (again.folder, again.outcome) == (first.folder, Outcome.FOUND)


def test_a_download_that_cannot_be_dropped_is_told_with_its_path(
    it: FromHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(folder: Path, _: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr("ft_serving.core.storage.delete", forbidden)
    with pytest.raises(FtServingError, match=r"models/tiny-gptj/\w+: Permission denied\. Check"):
        it.source().drop()


def test_a_download_serves_two_releases_and_is_fetched_again_where_it_was_altered(
    it: FromHub,
) -> None:
    it.prepare()
    it.prepare(dtype=DType.FP32)
    assert "nothing to do, 4.0 MiB were there" in it.said.getvalue()
    (weights,) = (it.volume / "models").rglob("model.safetensors")
    right = file_sha256(weights)
    with weights.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    it.prepare(dtype=DType.BF16)
    assert file_sha256(weights) == right


def test_a_folder_that_someone_else_filled_is_neither_downloaded_into_nor_dropped(
    it: FromHub,
) -> None:
    revision = it.prepare().manifest.spec.revision
    folder = it.volume / "models" / "tiny-gptj" / revision
    (folder / ".ft-serving").unlink()
    (folder / "config.json").write_text("{}")
    with pytest.raises(FtServingError, match="nothing in it says that ft-serving made") as refused:
        it.prepare(dtype=DType.FP32)
    assert f"--repository {folder}" in str(refused.value)
    it.source().drop()
    assert f"{folder}: kept, nothing in it says that ft-serving made it" in it.said.getvalue()
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "model.safetensors").exists()


def test_a_release_is_made_only_of_bytes_that_the_disk_has_kept(
    it: FromHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(source, "flush", lost)
    with pytest.raises(FtServingError, match="Input/output error"):
        it.prepare()
    assert it.storage.release_names() == []


@pytest.mark.parametrize(
    ("repository", "revision", "changes", "message"),
    [
        ("owner/missing", "main", {}, "no such model"),
        ("tiny-gptj", "v2", {}, "no revision 'v2'"),
        ("tiny-gptj", "0" * 40, {}, "no revision"),
        ("tiny-gptj", "main", {"tensor_parallel": 8}, "use 1, 2 or 4"),
    ],
)
def test_a_wrong_setting_is_told_before_the_download(
    it: FromHub, repository: str, revision: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(FtServingError, match=message):
        it.prepare(repository, revision, **changes)
    assert not (it.volume / "models").exists()
    assert it.storage.release_names() == []


def test_an_adapter_on_a_hub_is_told_before_the_download(it: FromHub, tmp_path: Path) -> None:
    adapter = random_checkpoint(tmp_path / "models" / "adapter")
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with HubServer(tmp_path / "models") as server:
        it.url = server.url
        with pytest.raises(CheckpointError, match=r"an adapter \(peft_type 'LORA'\) for"):
            it.prepare("adapter")
    assert not (it.volume / "models").exists()


def test_an_adapter_on_a_hub_needs_no_config_json_to_be_told(
    it: FromHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile(name="adapter_config.json", size=2, sha256=None, git_blob="0" * 40)
    # The mirror serves no folder without config.json.
    snapshot = Snapshot(repository="owner/adapter", revision="0" * 40, files=(file,))
    monkeypatch.setattr(Hub, "snapshot", lambda *_: snapshot)
    monkeypatch.setattr(Hub, "read", lambda *_: b"{}")
    with pytest.raises(CheckpointError, match=r"has no config\.json\. It is an adapter"):
        it.source("owner/adapter").config_json()


PREPARE = """
import os, signal, sys
from ft_serving.core.hub import parts
from ft_serving.cli import main

parts.PART_BYTES = 1 << 20
last, made = int(sys.argv.pop(1)), []

def counted(name, real):
    def call(*arguments, **more):
        made.append(name)
        if len(made) == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)
    return call

for name in ("write", "pwrite", "fsync", "replace", "rename"):
    setattr(os, name, counted(name, getattr(os, name)))
try:
    main()
finally:
    print(len(made))
"""
"""Prints by how many calls the command reaches the disk, or kills itself at one of them."""


@pytest.mark.slow
def test_a_kill_at_any_call_to_the_disk_costs_time_and_nothing_else(
    it: FromHub, tmp_path: Path
) -> None:
    def run(last: int, volume: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PREPARE, str(last), "weights", "prepare"]
        command += ["--repository", "tiny-gptj", "--revision", "main", "--storage", str(volume)]
        environment = {**os.environ, "HF_ENDPOINT": it.url}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    calls = int(run(0, tmp_path / "counted").stdout.split()[-1])
    for fifth in range(1, 6):
        volume = tmp_path / f"volume-{fifth}"
        done = run(calls * fifth // 5, volume)
        assert done.returncode == -signal.SIGKILL, done.stderr
        resumed = FromHub(volume, it.url)
        for name in resumed.storage.release_names():
            folder = resumed.storage.release(name)
            assert (folder / MANIFEST_PATH).exists(), "a release appears whole"
            assert check_sizes(folder) == []
        prepared = resumed.prepare(tensor_parallel=1)
        files = prepared.manifest.files
        assert all(file_sha256(prepared.folder / file.path) == file.sha256 for file in files)
