"""The base image, made of Debian packages."""

import subprocess

import pytest

from local_platform.addons import debian
from local_platform.addons.registry import RegistryClient
from local_platform.errors import PlatformError
from tests.local_platform.addons.stub_registry import StubRegistry


def test_a_machine_without_a_source_of_packages_is_told_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, registry: StubRegistry
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    nothing = subprocess.CompletedProcess(args=[], returncode=0, stdout="cdrom:[Debian]/\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: nothing)
    with pytest.raises(PlatformError, match="no source for Debian bookworm"):
        debian.base_image(lambda _: None, registry.address)
    assert RegistryClient(registry.address).digest("platform/debian", "current") is None
