"""Images that are made without an engine, and had in the registry."""

import gzip
import hashlib
import io
import json
import os
import socket
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_platform.addons import debian, wheels
from local_platform.addons.images import LAYER_FILE, ProgramImage, cached_image, push_all
from local_platform.addons.oci import Layer, image_of, pack_files
from local_platform.errors import PlatformError
from tests.local_platform.addons.stub_registry import StubRegistry, running


@pytest.fixture
def registry() -> Iterator[StubRegistry]:
    with running() as server:
        yield server


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "controller"
    path.write_bytes(b"a program" + bytes(1000))
    return path


def push(registry: StubRegistry, image: ProgramImage) -> tuple[str, list[str]]:
    told: list[str] = []
    return push_all([image], told.append, registry.address)[image.name], told


def test_a_layer_holds_the_files_with_their_folders_and_modes(
    tmp_path: Path, program: Path
) -> None:
    bundle = tmp_path / "ca.crt"
    bundle.write_text("CERTIFICATES")
    files = {"program": program, "etc/ssl/ca.crt": bundle}

    layer = pack_files(tmp_path / "layer", files, ["program"])

    packed = layer.path.read_bytes()
    stream = gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        found = {entry.name: (oct(entry.mode), entry.uid, entry.mtime) for entry in tar}
        content = tar.extractfile("etc/ssl/ca.crt")
        assert content is not None
        assert content.read() == b"CERTIFICATES"
    assert found == {
        "etc": ("0o755", 0, 0),
        "etc/ssl": ("0o755", 0, 0),
        "etc/ssl/ca.crt": ("0o644", 0, 0),
        "program": ("0o755", 0, 0),
    }
    assert layer.digest == f"sha256:{hashlib.sha256(packed).hexdigest()}"
    assert layer.diff_id == f"sha256:{hashlib.sha256(stream).hexdigest()}"
    assert layer.size == len(packed)
    os.utime(program, (1, 1))
    again = pack_files(tmp_path / "again", files, ["program"])
    assert again.digest == layer.digest, "another digest would replace pods for nothing"
    assert not list(tmp_path.glob("*.tar"))


def test_the_documents_name_the_layer_and_the_user(tmp_path: Path, program: Path) -> None:
    layer = pack_files(tmp_path / "layer", {"program": program}, ["program"])
    image = image_of(layer, {"User": "65532:65532", "Entrypoint": ["/program"]})
    config, manifest = json.loads(image.config), json.loads(image.manifest)
    assert config["config"] == {"User": "65532:65532", "Entrypoint": ["/program"]}
    assert config["rootfs"] == {"type": "layers", "diff_ids": [layer.diff_id]}
    assert manifest["config"]["digest"] == f"sha256:{hashlib.sha256(image.config).hexdigest()}"
    assert manifest["layers"][0]["digest"] == layer.digest


def test_a_program_is_pushed_once_and_named_by_its_digest(
    registry: StubRegistry, program: Path
) -> None:
    image = ProgramImage(name="pause", program=program, alias="node")
    first, told = push(registry, image)
    assert told == ["image pause: 0 MB"]
    assert "platform/pause:node" in registry.manifests
    (manifest,) = set(registry.manifests.values())
    digest = hashlib.sha256(manifest).hexdigest()
    assert first == f"{registry.address}/platform/pause@sha256:{digest}"
    config = json.loads(registry.blobs[json.loads(manifest)["config"]["digest"]])
    assert config["config"]["Entrypoint"] == ["/controller"]
    assert config["config"]["User"] == "65532:65532", "Kubernetes believes numbers only"

    registry.requests.clear()
    assert push(registry, image) == (first, [])
    assert {request.split()[0] for request in registry.requests} == {"HEAD"}

    program.write_bytes(b"another program")
    assert push(registry, image)[0] != first


def test_what_fails_is_named(registry: StubRegistry, tmp_path: Path, program: Path) -> None:
    with pytest.raises(PlatformError, match=r"the image one could not be made: .*nowhere"):
        push(registry, ProgramImage(name="one", program=tmp_path / "nowhere"))
    registry.refuse_uploads = True
    with pytest.raises(PlatformError, match=r"with 507: no space left"):
        push(registry, ProgramImage(name="one", program=program))
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(PlatformError, match=rf"registry at {address} did not .*logs registry"):
            push_all([ProgramImage(name="one", program=program)], print, address)


def test_a_cached_layer_is_made_once_also_after_a_failure_and_for_an_empty_registry(
    registry: StubRegistry, tmp_path: Path, program: Path
) -> None:
    made: list[Path] = []

    def make(folder: Path) -> Layer:
        made.append(folder)
        if len(made) == 1:
            (folder / LAYER_FILE).write_bytes(b"half")
            raise OSError("no space left on device")
        return pack_files(folder / LAYER_FILE, {"program": program}, [])

    def image() -> str:
        return cached_image(
            "platform/base", tmp_path / "base" / "key", make, {"User": "0:0"}, registry.address
        )

    with pytest.raises(PlatformError, match="could not be written: no space left on device"):
        image()
    assert list((tmp_path / "base").iterdir()) == []
    first = image()
    assert set(registry.manifests) == {"platform/base:current", "platform/base:key"}
    registry.manifests.clear()
    assert image() == first
    assert len(made) == 2


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package, and an index of it that pip reads from a folder."""
    path = tmp_path / "index" / "one-1.0-py3-none-any.whl"
    path.parent.mkdir()
    metadata = "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.py", "")
        archive.writestr("one-1.0.dist-info/METADATA", metadata)
        archive.writestr("one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("one-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(path.parent))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(wheels, "_LOCKS", (tmp_path / "one.lock",))
    return path


def test_the_wheels_of_the_locks_lie_in_the_images_root_and_one_with_another_hash_is_refused(
    tmp_path: Path, wheel: Path, registry: StubRegistry
) -> None:
    lock = tmp_path / "one.lock"
    lock.write_text(f"one==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(PlatformError, match=r"one\.lock cannot be downloaded:\n(.|\n)*hash"):
        wheels.wheels_image(print, registry.address)
    assert registry.manifests == {}

    lock.write_text(f"one==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    wheels.wheels_image(print, registry.address)

    (packed,) = [blob for blob in registry.blobs.values() if blob.startswith(b"\x1f\x8b")]
    with tarfile.open(fileobj=io.BytesIO(packed)) as layer:
        assert layer.getnames() == [wheel.name]


def test_a_base_image_without_a_source_of_packages_or_a_debootstrap_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: StubRegistry
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answers = {"apt-get": "cdrom:[Debian]/\n", "unshare": "E: Release file expired\n"}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout=answers[command[0]])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(PlatformError, match="no source for Debian bookworm"):
        debian.base_image(print, registry.address)
    answers["apt-get"] = "http://deb.example/debian\n"
    with pytest.raises(PlatformError, match=r"with status 1; .*\nE: Release file expired"):
        debian.base_image(print, registry.address)
    assert registry.manifests == {}
