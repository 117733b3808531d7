"""The whole way from a hub: the mirror of the embedded platform serves it."""

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.client import Hub, RemoteFile, Snapshot
from ft_serving.core.manifest import read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_sizes
from ft_serving.weights import source
from ft_serving.weights.errors import CheckpointError
from ft_serving.weights.source import HubSource
from local_platform.hub.server import HubServer
from tests.command_line import Done
from tests.weights.test_commands import releases
from tests.weights.world import ft_serving, prepare_source

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    with HubServer(MODELS) as server:
        yield server.url


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "volume"


def run(
    hub: str, volume: Path, *options: str, repository: str = "tiny-gptj", revision: str = "main"
) -> Done:
    arguments = ("--repository", repository, "--revision", revision, "--storage", volume)
    return ft_serving("prepare", *arguments, *options, HF_ENDPOINT=hub)


def prepare(hub: str, volume: Path, *options: str, revision: str = "main") -> Path:
    done = run(hub, volume, *options, revision=revision)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_a_branch_is_resolved_to_its_commit_and_gives_a_folders_weights(
    hub: str, volume: Path
) -> None:
    manifest = read_manifest(prepare(hub, volume))
    assert len(manifest.spec.revision) == 40
    assert manifest.spec.repository == "tiny-gptj"
    assert manifest.origin == hub
    digests = {file.name: file.digest for file in manifest.source}
    assert digests.keys() == {"config.json", "model.safetensors", "tokenizer.json"}
    assert digests["model.safetensors"].startswith("sha256:")
    assert (volume / "models/tiny-gptj" / manifest.spec.revision / "model.safetensors").is_file()
    done = ft_serving("prepare", "--repository", MODELS / "tiny-gptj", "--storage", volume)
    from_folder = read_manifest(Path(done.stdout.strip()))
    assert from_folder.spec.name != manifest.spec.name
    bins = [
        {f.path: f.sha256 for f in each.files if f.path.endswith(".bin")}
        for each in (manifest, from_folder)
    ]
    assert bins[0] == bins[1]


def test_a_valid_release_of_a_commit_needs_neither_source_nor_hub(hub: str, volume: Path) -> None:
    first = prepare(hub, volume, "--drop-source")
    assert not list((volume / "models").rglob("*.safetensors"))
    assert check_sizes(first) == []
    commit = read_manifest(first).spec.revision
    assert prepare("http://127.0.0.1:1", volume, revision=commit) == first


def hub_source(hub: str, volume: Path, storage: Storage) -> HubSource:
    return HubSource(Hub(hub, None), "tiny-gptj", "main", storage, Progress(io.StringIO()))


def test_a_download_that_cannot_be_dropped_is_told_with_its_path(
    hub: str, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(folder: Path, _: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))

    monkeypatch.setattr("ft_serving.core.storage.delete", forbidden)
    weights = hub_source(hub, volume, Storage(volume))
    with pytest.raises(FtServingError, match=r"models/tiny-gptj/\w+: Permission denied\. Check"):
        weights.drop()


def test_a_download_serves_two_releases_unless_it_was_altered(hub: str, volume: Path) -> None:
    prepare(hub, volume)
    done = run(hub, volume, "--dtype", "fp32")
    assert "nothing to do, 4.1 MiB were there" in done.stderr
    (weights,) = (volume / "models").rglob("model.safetensors")
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    prepare(hub, volume, "--dtype", "bf16")
    assert weights.read_bytes() == content


def test_a_folder_that_someone_else_filled_is_neither_downloaded_into_nor_dropped(
    hub: str, volume: Path
) -> None:
    revision = read_manifest(prepare(hub, volume)).spec.revision
    folder = volume / "models" / "tiny-gptj" / revision
    (folder / ".ft-serving").unlink()
    (folder / "config.json").write_text("{}")
    done = run(hub, volume, "--dtype", "fp32", revision=revision)
    assert done.returncode == 1
    assert f"{folder}: nothing in it says that ft-serving made it" in done.stderr
    assert f"--repository {folder}" in done.stderr
    done = run(hub, volume, "--drop-source", revision=revision)
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
    with pytest.raises(FtServingError, match="Input/output error"):
        prepare_source(hub_source(hub, volume, storage), storage, Progress(io.StringIO()))
    assert list(releases(volume)) == []


@pytest.mark.parametrize(
    ("repository", "revision", "ranks", "message"),
    [
        ("owner/missing", "main", "1", "no such model"),
        ("tiny-gptj", "v2", "1", "no revision 'v2'"),
        ("tiny-gptj", "0" * 40, "1", "no revision"),
        ("tiny-gptj", "main", "8", "use 1, 2 or 4"),
    ],
)
def test_a_mistake_is_told_before_the_download(
    hub: str, volume: Path, repository: str, revision: str, ranks: str, message: str
) -> None:
    done = run(hub, volume, "--tensor-parallel", ranks, repository=repository, revision=revision)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (volume / "models").exists()
    assert list(releases(volume)) == []


def test_an_adapter_on_a_hub_needs_no_config_json_to_be_told(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = RemoteFile(name="adapter_config.json", size=2, sha256=None, git_blob="0" * 40)
    # The mirror serves no folder without config.json.
    snapshot = Snapshot(repository="tiny-gptj", revision="0" * 40, files={file.name: file})
    monkeypatch.setattr(Hub, "snapshot", lambda *_: snapshot)
    monkeypatch.setattr(Hub, "read", lambda *_: b"{}")
    weights = hub_source("http://127.0.0.1:1", volume, Storage(volume))
    with pytest.raises(CheckpointError, match=r"has no config\.json\. It is an adapter"):
        weights.config_json()


def test_a_token_is_sent_and_never_shown(volume: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HubServer(MODELS, token="right-token") as server:
        for token in ("", "wrong-token"):
            monkeypatch.setenv("HF_TOKEN", token)
            done = run(server.url, volume)
            assert done.returncode == 1
            assert "HF_TOKEN" in done.stderr
            assert "wrong-token" not in done.stderr
        monkeypatch.setenv("HF_TOKEN", "right-token")
        prepare(server.url, volume)
