"""The whole way from a hub: the mirror of the embedded platform serves it."""

import errno
import io
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.client import Hub, RemoteFile, Snapshot
from ft_serving.core.manifest import MANIFEST_PATH, read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_sizes
from ft_serving.weights import source
from ft_serving.weights.errors import CheckpointError
from ft_serving.weights.source import HubSource
from local_platform.hub.server import HubServer
from tests.weights.models import random_checkpoint
from tests.weights.test_commands import LARGER, command, ft_serving, releases
from tests.weights.world import prepare_source

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture
def hub() -> Iterator[str]:
    with HubServer(MODELS) as server:
        yield server.url


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "volume"


def prepare(hub: str, volume: Path, *options: str, revision: str = "main") -> Path:
    arguments = ("--repository", "tiny-gptj", "--revision", revision, "--storage", str(volume))
    done = ft_serving("prepare", *arguments, *options, HF_ENDPOINT=hub)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_branch_is_resolved_to_its_commit_which_is_recorded(hub: str, volume: Path) -> None:
    manifest = read_manifest(prepare(hub, volume))
    assert len(manifest.spec.revision) == 40
    assert manifest.spec.repository == "tiny-gptj"
    assert manifest.origin == hub
    digests = {file.name: file.digest for file in manifest.source}
    assert digests.keys() == {"config.json", "model.safetensors"}
    assert digests["model.safetensors"].startswith("sha256:")
    assert (volume / "models/tiny-gptj" / manifest.spec.revision / "model.safetensors").is_file()


def test_the_hub_and_a_folder_give_the_same_weights(hub: str, volume: Path) -> None:
    from_hub = read_manifest(prepare(hub, volume, "--dtype", "bf16"))
    done = ft_serving(
        *("prepare", "--repository", MODELS / "tiny-gptj", "--storage", volume, "--dtype", "bf16")
    )
    from_folder = read_manifest(Path(done.stdout.strip()))
    assert from_hub.spec.name != from_folder.spec.name
    bins = [
        {f.path: f.sha256 for f in manifest.files if f.path.endswith(".bin")}
        for manifest in (from_hub, from_folder)
    ]
    assert bins[0] == bins[1]


def test_a_valid_release_of_a_commit_needs_no_hub(volume: Path) -> None:
    with HubServer(MODELS) as server:
        first = prepare(server.url, volume, "--drop-source")
        gone = server.url
    commit = read_manifest(first).spec.revision
    assert prepare(gone, volume, revision=commit) == first


def test_dropping_the_source_leaves_the_release_alone(hub: str, volume: Path) -> None:
    folder = prepare(hub, volume, "--drop-source")
    assert not list((volume / "models").rglob("*.safetensors"))
    assert check_sizes(folder) == []


def test_a_download_that_cannot_be_dropped_is_told_with_its_path(
    hub: str, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(folder: Path, _: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr("ft_serving.core.storage.delete", forbidden)
    storage = Storage(volume)
    storage.create()
    progress = Progress(io.StringIO())
    weights = HubSource(Hub(hub, None), "tiny-gptj", "main", storage, progress)
    with pytest.raises(FtServingError, match=r"models/tiny-gptj/\w+: Permission denied\. Check"):
        weights.drop()


def test_a_download_serves_two_releases(hub: str, volume: Path) -> None:
    prepare(hub, volume)
    arguments = ("--repository", "tiny-gptj", "--revision", "main", "--storage", volume)
    done = ft_serving("prepare", *arguments, "--dtype", "fp32", HF_ENDPOINT=hub)
    assert "nothing to do, 4.0 MiB were there" in done.stderr


def test_a_download_that_was_altered_is_fetched_again(hub: str, volume: Path) -> None:
    prepare(hub, volume)
    (weights,) = (volume / "models").rglob("model.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    second = prepare(hub, volume, "--dtype", "fp32")
    assert np.fromfile(second / "fastertransformer/1/model.wte.bin", "<f4").size == 1024 * 128
    content[-1] ^= 1
    assert weights.read_bytes() == bytes(content)


def test_a_folder_that_someone_else_filled_is_neither_downloaded_into_nor_dropped(
    hub: str, volume: Path
) -> None:
    revision = read_manifest(prepare(hub, volume)).spec.revision
    folder = volume / "models" / "tiny-gptj" / revision
    (folder / ".ft-serving").unlink()
    (folder / "config.json").write_text("{}")
    arguments = ("--repository", "tiny-gptj", "--revision", revision, "--storage", volume)
    done = ft_serving("prepare", *arguments, "--dtype", "fp32", HF_ENDPOINT=hub)
    assert done.returncode == 1
    assert f"{folder}: nothing in it says that ft-serving made it" in done.stderr
    assert f"--repository {folder}" in done.stderr
    done = ft_serving("prepare", *arguments, "--drop-source", HF_ENDPOINT=hub)
    assert done.returncode == 0
    assert f"{folder}: kept, nothing in it says that ft-serving made it" in done.stderr
    assert (folder / "config.json").read_text() == "{}"
    assert (folder / "model.safetensors").exists()


def test_a_release_is_made_only_of_what_the_disk_has_kept(
    hub: str, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr(source, "flush", lost)
    storage = Storage(volume)
    storage.create()
    progress = Progress(io.StringIO())
    weights = HubSource(Hub(hub, None), "tiny-gptj", "main", storage, progress)
    with pytest.raises(FtServingError, match="Input/output error"):
        prepare_source(weights, storage, progress)
    assert list(releases(volume)) == []


@pytest.mark.parametrize(
    ("repository", "revision", "message"),
    [
        ("owner/missing", "main", "no such model"),
        ("tiny-gptj", "v2", "no revision 'v2'"),
        ("tiny-gptj", "0" * 40, "no revision"),
    ],
)
def test_what_a_hub_does_not_have_is_told_in_one_message(
    hub: str, volume: Path, repository: str, revision: str, message: str
) -> None:
    arguments = ("--repository", repository, "--revision", revision, "--storage", volume)
    done = ft_serving("prepare", *arguments, HF_ENDPOINT=hub)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(releases(volume)) == []


def test_a_parallel_size_is_refused_before_the_download(hub: str, volume: Path) -> None:
    arguments = ("--repository", "tiny-gptj", "--revision", "main", "--storage", volume)
    done = ft_serving("prepare", *arguments, "--tensor-parallel", "8", HF_ENDPOINT=hub)
    assert done.returncode == 1
    assert "use 1, 2 or 4" in done.stderr
    assert not (volume / "models").exists()


def test_an_adapter_on_a_hub_is_told_before_the_download(tmp_path: Path, volume: Path) -> None:
    adapter = random_checkpoint(tmp_path / "models" / "adapter")
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    (adapter / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with HubServer(tmp_path / "models") as server:
        arguments = ("--repository", "adapter", "--revision", "main", "--storage", volume)
        done = ft_serving("prepare", *arguments, HF_ENDPOINT=server.url)
    assert done.returncode == 1
    assert "It is an adapter (peft_type 'LORA') for the model" in done.stderr
    assert "merge_and_unload()" in done.stderr
    assert not (volume / "models").exists()


def test_an_adapter_on_a_hub_needs_no_config_json_to_be_told(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile(name="adapter_config.json", size=2, sha256=None, git_blob="0" * 40)
    # The mirror serves no folder without config.json.
    snapshot = Snapshot(repository="owner/adapter", revision="0" * 40, files=(file,))
    monkeypatch.setattr(Hub, "snapshot", lambda *_: snapshot)
    monkeypatch.setattr(Hub, "read", lambda *_: b"{}")
    progress = Progress(io.StringIO())
    hub = Hub("http://127.0.0.1:1", None)
    weights = HubSource(hub, "owner/adapter", "main", Storage(volume), progress)
    with pytest.raises(CheckpointError, match=r"has no config\.json\. It is an adapter"):
        weights.config_json()


def test_a_token_is_sent_and_never_shown(volume: Path) -> None:
    with HubServer(MODELS, token="right-token") as server:
        arguments = ("--repository", "tiny-gptj", "--revision", "main", "--storage", volume)
        for token in ("", "wrong-token"):
            done = ft_serving("prepare", *arguments, HF_ENDPOINT=server.url, HF_TOKEN=token)
            assert done.returncode == 1
            assert "HF_TOKEN" in done.stderr
            assert "wrong-token" not in done.stderr
        done = ft_serving("prepare", *arguments, HF_ENDPOINT=server.url, HF_TOKEN="right-token")
        assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_kills_during_download_and_conversion_cost_time_and_nothing_else(
    tmp_path: Path, volume: Path
) -> None:
    random_checkpoint(tmp_path / "models" / "larger", LARGER)
    generator = random.Random(0)
    with HubServer(tmp_path / "models") as server:
        arguments = command(
            *("prepare", "--repository", "larger", "--revision", "main", "--storage", volume)
        )
        environment = {"HF_ENDPOINT": server.url, "PATH": ""}
        began = time.monotonic()
        subprocess.run(
            [*arguments[:-1], tmp_path / "warm-up"],
            env=environment,
            capture_output=True,
            check=True,
        )
        whole = time.monotonic() - began
        for _ in range(10):
            process = subprocess.Popen(
                arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            time.sleep(whole * generator.random())
            process.send_signal(signal.SIGKILL)
            process.wait()
            for found in releases(volume):
                assert (found / MANIFEST_PATH).exists(), "a release appears whole"
                assert check_sizes(found) == []
                subprocess.run(command("prune", "--storage", volume, "--newest", 0), check=True)
        done = subprocess.run(
            arguments, env=environment, capture_output=True, text=True, check=True
        )
    assert ft_serving("verify", "--full", done.stdout.strip()).returncode == 0
