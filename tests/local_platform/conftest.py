"""Fixtures that give a test folders of its own in place of the platform's."""

from pathlib import Path

import pytest

from local_platform.node import certificates, services


@pytest.fixture
def certificate_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of certificates."""
    folder = tmp_path / "certificates"
    monkeypatch.setattr(certificates, "FOLDER", folder)
    return folder


@pytest.fixture
def service_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of services; their logs are in `log` beside it."""
    folder = tmp_path / "services"
    monkeypatch.setattr(services, "SERVICES", folder)
    monkeypatch.setattr(services, "LOGS", tmp_path / "log")
    return folder
