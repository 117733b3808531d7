"""Folders of a test's own in place of the platform's."""

from pathlib import Path

import pytest

from local_platform.node import certificates, kubeconfig, services


@pytest.fixture
def certificate_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where certificates are made."""
    folder = tmp_path / "certificates"
    monkeypatch.setattr(certificates, "FOLDER", folder)
    return folder


@pytest.fixture
def kubeconfig_folder(
    tmp_path: Path, certificate_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Where kubeconfigs are written."""
    monkeypatch.setattr(kubeconfig, "DATA", tmp_path)
    monkeypatch.setattr(kubeconfig, "KUBECONFIG", tmp_path / "kubeconfig")
    return tmp_path


@pytest.fixture
def service_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where services have their folders, and beside it their logs."""
    folder = tmp_path / "services"
    monkeypatch.setattr(services, "SERVICES", folder)
    monkeypatch.setattr(services, "LOGS", tmp_path / "log")
    return folder
