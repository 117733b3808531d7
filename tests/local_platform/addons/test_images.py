"""Programs in the registry."""

import json
import socket
from pathlib import Path

import pytest

from local_platform.addons.images import ProgramImage, push_all
from local_platform.errors import PlatformError
from tests.local_platform.addons.stub_registry import StubRegistry


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "controller"
    path.write_bytes(b"a program")
    return path


def _push(registry: StubRegistry, *images: ProgramImage) -> tuple[dict[str, str], list[str]]:
    told: list[str] = []
    return push_all(list(images), told.append, registry.address), told


def test_an_image_is_named_by_the_digest_that_the_registry_has(
    registry: StubRegistry, program: Path
) -> None:
    names, _ = _push(registry, ProgramImage(name="knative-controller", program=program))
    prefix, _, digest = names["knative-controller"].partition("@")
    assert prefix == f"{registry.address}/platform/knative-controller"
    (manifest,) = registry.manifests.values()
    config = json.loads(registry.blobs[json.loads(manifest)["config"]["digest"]])
    assert config["config"]["Entrypoint"] == ["/controller"]
    assert config["config"]["User"] == "65532:65532", "Kubernetes believes numbers only"
    assert digest.startswith("sha256:")


def test_what_the_registry_has_is_not_made_again(registry: StubRegistry, program: Path) -> None:
    image = ProgramImage(name="one", program=program)
    first, _ = _push(registry, image)
    registry.requests.clear()
    second, told = _push(registry, image)
    assert second == first
    assert told == []
    assert [request.split()[0] for request in registry.requests] == ["HEAD"]


def test_a_changed_program_is_another_image(registry: StubRegistry, program: Path) -> None:
    image = ProgramImage(name="one", program=program)
    before, _ = _push(registry, image)
    program.write_bytes(b"another program")
    after, told = _push(registry, image)
    assert after != before
    assert told == ["image one: 0 MB"]


def test_an_alias_names_the_same_image(registry: StubRegistry, program: Path) -> None:
    _push(registry, ProgramImage(name="pause", program=program, alias="node"))
    assert "platform/pause:node" in registry.manifests
    assert len(set(registry.manifests.values())) == 1


def test_a_missing_program_is_named(registry: StubRegistry, tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match=r"the image one could not be made: .*nowhere"):
        _push(registry, ProgramImage(name="one", program=tmp_path / "nowhere"))


def test_a_registry_that_refuses_is_quoted(registry: StubRegistry, program: Path) -> None:
    registry.refuse_uploads = True
    with pytest.raises(PlatformError, match=r"answered 507 instead of 202: no space left"):
        _push(registry, ProgramImage(name="one", program=program))


def test_a_registry_that_is_not_there_is_named_with_its_log(program: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(
            PlatformError, match=rf"registry at {address} did not answer.*logs registry"
        ):
            push_all([ProgramImage(name="one", program=program)], print, address)
