"""The image with the packages of the project's images."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from local_platform.addons import wheels
from local_platform.addons.wheels import wheels_image
from local_platform.errors import PlatformError
from tests.local_platform.addons.stub_registry import StubRegistry

WHEEL = "one-1.0-py3-none-any.whl"


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package, and an index of it that pip reads from a folder."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / WHEEL, "w") as archive:
        archive.writestr("one.py", "")
        archive.writestr(
            "one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: one\nVersion: 1.0\n"
        )
        archive.writestr("one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("one-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return index / WHEEL


def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    path = tmp_path / "one.lock"
    path.write_text(f"one==1.0 --hash=sha256:{digest}\n")
    monkeypatch.setattr(wheels, "_LOCKS", (path,))


def test_what_the_locks_name_is_downloaded_once_and_lies_in_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path, registry: StubRegistry
) -> None:
    lock(tmp_path, monkeypatch, hashlib.sha256(wheel.read_bytes()).hexdigest())
    said: list[str] = []
    names = {wheels_image(said.append, registry.address) for _ in range(2)}
    assert len(names) == 1
    assert said == ["wheels: downloading those of one.lock"]
    layers = [blob for blob in registry.blobs.values() if blob.startswith(b"\x1f\x8b")]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as layer:
        assert layer.getnames() == [WHEEL]
        member = layer.extractfile(WHEEL)
        assert member is not None
        assert member.read() == wheel.read_bytes()


def test_a_wheel_with_another_hash_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path, registry: StubRegistry
) -> None:
    lock(tmp_path, monkeypatch, "0" * 64)
    with pytest.raises(PlatformError, match=r"one\.lock cannot be downloaded:\n(.|\n)*hash"):
        wheels_image(lambda _: None, registry.address)
    assert registry.manifests == {}
