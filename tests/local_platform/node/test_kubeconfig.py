"""Kubeconfig files."""

import base64
from pathlib import Path

import pytest
import yaml

from local_platform.node import certificates, kubeconfig
from local_platform.node.certificates import ADMINISTRATOR, AUTHORITY, KUBELET


@pytest.fixture
def written(kubeconfig_folder: Path) -> Path:
    """The folder with every kubeconfig."""
    certificates.ensure()
    kubeconfig.write_all()
    return kubeconfig_folder


def test_the_users_kubeconfig_is_the_administrators(written: Path) -> None:
    document = yaml.safe_load((written / "kubeconfig").read_text())

    (cluster,) = document["clusters"]
    assert cluster["cluster"] == {
        "server": "https://127.0.0.1:6443",
        "certificate-authority-data": base64.b64encode(AUTHORITY.certificate.read_bytes()).decode(),
    }
    (user,) = document["users"]
    assert user["user"] == {
        "client-certificate-data": base64.b64encode(
            ADMINISTRATOR.certificate.read_bytes()
        ).decode(),
        "client-key-data": base64.b64encode(ADMINISTRATOR.key.read_bytes()).decode(),
    }
    assert document["current-context"] == "ft-serving"
    (context,) = document["contexts"]
    assert context["context"] == {"cluster": cluster["name"], "user": user["name"]}


def test_each_part_has_its_own(written: Path) -> None:
    names = {path.name for path in (written / "kubeconfigs").iterdir()}
    assert names == {
        "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "volumes",
    }  # fmt: skip
    assert kubeconfig.path_of(KUBELET) == written / "kubeconfigs" / "kubelet"


def test_no_other_user_of_the_machine_reads_one(written: Path) -> None:
    for path in (written / "kubeconfig", *(written / "kubeconfigs").iterdir()):
        assert path.stat().st_mode & 0o777 == 0o600


def test_one_that_is_right_is_left_alone_and_one_cut_short_is_written_again(written: Path) -> None:
    path = written / "kubeconfig"
    before, text = path.stat().st_ino, path.read_text()
    kubeconfig.write_all()
    assert path.stat().st_ino == before

    path.write_text(text[:100])
    kubeconfig.write_all()

    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o600
