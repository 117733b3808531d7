"""Images that are made without an engine, and had in the registry."""

import hashlib
import io
import os
import socket
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from local_platform.addons import debian, images, wheels
from local_platform.addons.images import LAYER_FILE, ProgramImage, cached_image, push_all
from local_platform.addons.oci import Layer, PackedImage, digest_of, pack_files
from local_platform.errors import PlatformError

ADDRESS = "localhost:5000"


class Registry:
    """Keeps manifests by repository and tag, in place of a registry."""

    def __init__(self) -> None:
        self.manifests: dict[str, bytes] = {}
        self.layers: list[bytes] = []

    def digest(self, repository: str, tag: str) -> str | None:
        manifest = self.manifests.get(f"{repository}:{tag}")
        return None if manifest is None else digest_of(manifest)

    def push(self, repository: str, tag: str, image: PackedImage) -> str:
        self.manifests[f"{repository}:{tag}"] = image.manifest
        self.layers.append(image.layer.path.read_bytes())
        return digest_of(image.manifest)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry()
    monkeypatch.setattr(images, "RegistryClient", lambda _: made)
    return made


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "controller"
    path.write_bytes(b"a program" + bytes(1000))
    return path


def test_a_layer_of_the_same_files_is_the_same(tmp_path: Path, program: Path) -> None:
    first = pack_files(tmp_path / "layer", {"program": program}, ["program"])
    os.utime(program, (1, 1))
    again = pack_files(tmp_path / "again", {"program": program}, ["program"])
    assert again.digest == first.digest, "another digest would replace pods for nothing"


def test_a_program_is_pushed_once_and_named_by_its_digest(
    registry: Registry, program: Path
) -> None:
    told: list[str] = []

    def push() -> str:
        image = ProgramImage(name="pause", program=program, alias="node")
        return push_all([image], told.append, ADDRESS)["pause"]

    first = push()
    assert first.startswith(f"{ADDRESS}/platform/pause@sha256:")
    assert "platform/pause:node" in registry.manifests
    assert push() == first
    assert told == ["image pause: 0 MB"]
    program.write_bytes(b"another program")
    assert push() != first


def test_what_fails_is_named(tmp_path: Path, program: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(PlatformError, match=r"the image one could not be made: .*nowhere"):
            push_all([ProgramImage(name="one", program=tmp_path / "nowhere")], print, address)
        with pytest.raises(PlatformError, match=rf"registry at {address} did not .*logs registry"):
            push_all([ProgramImage(name="one", program=program)], print, address)


def test_a_cached_layer_is_made_once_also_after_a_failure_and_for_an_empty_registry(
    registry: Registry, tmp_path: Path, program: Path
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
            "platform/base", tmp_path / "base" / "key", make, {"User": "0:0"}, ADDRESS
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
    tmp_path: Path, wheel: Path, registry: Registry
) -> None:
    lock = tmp_path / "one.lock"
    lock.write_text(f"one==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(PlatformError, match=r"one\.lock cannot be downloaded:\n(.|\n)*hash"):
        wheels.wheels_image(print, ADDRESS)
    assert registry.manifests == {}

    lock.write_text(f"one==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n")
    wheels.wheels_image(print, ADDRESS)

    (packed,) = set(registry.layers)
    with tarfile.open(fileobj=io.BytesIO(packed)) as layer:
        assert layer.getnames() == [wheel.name]


def test_a_base_image_without_a_source_of_packages_or_a_debootstrap_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, registry: Registry
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    answers = {"apt-get": "cdrom:[Debian]/\n", "unshare": "E: Release file expired\n"}

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, stdout=answers[command[0]])

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(PlatformError, match="no source for Debian bookworm"):
        debian.base_image(print, ADDRESS)
    answers["apt-get"] = "http://deb.example/debian\n"
    with pytest.raises(PlatformError, match=r"with status 1; .*\nE: Release file expired"):
        debian.base_image(print, ADDRESS)
    assert registry.manifests == {}
