"""Layers that take long to make."""

from pathlib import Path

import pytest

from local_platform.addons.cached_layer import LAYER_FILE, cached_layer, published
from local_platform.addons.oci import Layer, LayerWriter, RunConfig
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError
from tests.local_platform.addons.stub_registry import StubRegistry


class Maker:
    """Makes a layer, and counts how often it had to."""

    def __init__(self, content: bytes = b"content") -> None:
        self.times = 0
        self._content = content

    def __call__(self, folder: Path) -> Layer:
        self.times += 1
        with LayerWriter(folder / LAYER_FILE) as writer:
            writer.write(self._content)
        return writer.layer()


def test_a_layer_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    layers = [cached_layer(tmp_path / "base" / "key", make) for _ in range(2)]
    assert make.times == 1
    assert layers[0].digest == layers[1].digest
    assert layers[1].path == tmp_path / "base" / "key" / LAYER_FILE
    assert layers[1].size == layers[1].path.stat().st_size


def test_a_layer_whose_making_failed_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail(folder: Path) -> Layer:
        (folder / LAYER_FILE).write_bytes(b"half")
        raise OSError("no space left on device")

    with pytest.raises(PlatformError, match="could not be written: no space left on device"):
        cached_layer(tmp_path / "base" / "key", fail)
    assert list((tmp_path / "base").iterdir()) == []
    assert cached_layer(tmp_path / "base" / "key", Maker()).size > 0


def test_an_image_that_the_registry_has_asks_for_no_layer(
    tmp_path: Path, registry: StubRegistry
) -> None:
    make = Maker()
    digests = {
        published(
            RegistryClient(registry.address),
            "platform/base",
            "key",
            lambda: make(tmp_path),
            RunConfig(user="0:0"),
        )
        for _ in range(2)
    }
    assert len(digests) == 1
    assert make.times == 1
    assert set(registry.manifests) == {"platform/base:current", "platform/base:key"}
    registry.manifests.clear()
    published(
        RegistryClient(registry.address), "platform/base", "key", lambda: make(tmp_path),
        RunConfig(user="0:0"),
    )  # fmt: skip
    assert make.times == 2, "a registry that lost its data is filled again from the cache"
