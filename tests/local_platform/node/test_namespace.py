"""The folders and control groups of the node, without its namespaces."""

from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.node import namespace


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of the test's own, with two hierarchies of control groups."""
    monkeypatch.setattr(namespace, "find", lambda: None)
    monkeypatch.setattr(namespace, "RUNTIME", tmp_path / "run")
    monkeypatch.setattr(namespace, "SERVICES", tmp_path / "run" / "services")
    monkeypatch.setattr(namespace, "MADE_FOLDERS", tmp_path / "made-folders")
    monkeypatch.setattr(namespace, "RESOLV_CONF", tmp_path / "run" / "resolv.conf")
    monkeypatch.setattr(
        namespace, "_OWN_FOLDERS", {tmp_path / "lib" / "kubelet": tmp_path / "data" / "kubelet"}
    )
    monkeypatch.setattr(namespace, "_CGROUPS", tmp_path / "cgroup")
    for name in ("cpu", "memory"):
        (tmp_path / "cgroup" / name).mkdir(parents=True)
        (tmp_path / "cgroup" / name / "cgroup.procs").touch()
    (tmp_path / "cgroup" / "cpuacct").symlink_to("cpu")
    return tmp_path


def test_nothing_runs_in_a_node_that_is_not_running(machine: Path) -> None:
    with pytest.raises(PlatformError, match=r"not running\. Start it with `make platform`"):
        namespace.entering(["true"])


def test_a_new_node_finds_its_services_and_nothing_else_of_the_one_before(machine: Path) -> None:
    run = machine / "run"
    (run / "services" / "etcd").mkdir(parents=True)
    (run / "services" / "etcd" / "run").touch()
    (run / "cni" / "networks").mkdir(parents=True)
    (run / "cni" / "networks" / "10.85.0.7").touch()
    (run / "docker.sock").touch()
    (run / "docker").symlink_to("nowhere")
    (run / "their.sock").touch()

    namespace._prepare_folders()

    left = {path.name for path in run.iterdir()}
    assert left == {"services", "resolv.conf", "their.sock"}
    assert (run / "services" / "etcd" / "run").exists()
    assert (run / "resolv.conf").read_text() == "nameserver 10.0.2.3\n"
    assert (machine / "lib" / "kubelet").is_dir()
    assert (machine / "data" / "kubelet").is_dir()
    assert (machine / "cgroup" / "memory" / "ft-serving").is_dir()


def test_stopping_removes_control_groups_from_the_inside_out_and_empty_folders(
    machine: Path,
) -> None:
    namespace._prepare_folders()
    mode = (machine / "run").stat().st_mode & 0o777
    assert mode == 0o700, "other users of the machine do not reach the sockets"
    for hierarchy in ("cpu", "memory"):
        (machine / "cgroup" / hierarchy / "ft-serving" / "pods" / "one").mkdir(parents=True)

    namespace.stop()

    assert not list((machine / "cgroup").glob("*/ft-serving"))
    assert not (machine / "lib" / "kubelet").exists()
    assert (machine / "data" / "kubelet").exists(), "data stay"


@pytest.mark.parametrize("had", [True, False])
def test_a_fixed_folder_goes_only_if_the_platform_made_it(machine: Path, had: bool) -> None:
    folder = machine / "lib" / "kubelet"
    if had:
        folder.mkdir(parents=True)
    for _ in range(2):  # The first node is killed.
        namespace._prepare_folders()
    namespace.stop()
    assert folder.exists() is had


def test_a_folder_that_someone_else_uses_stays(machine: Path) -> None:
    namespace._prepare_folders()
    (machine / "lib" / "kubelet" / "another-cluster").touch()

    namespace.stop()

    assert (machine / "lib" / "kubelet" / "another-cluster").exists()


def test_a_control_group_that_cannot_be_removed_is_named(machine: Path) -> None:
    namespace._prepare_folders()
    # As a process would hold it.
    (machine / "cgroup" / "cpu" / "ft-serving" / "tasks").touch()

    with pytest.raises(PlatformError, match=r"Cannot remove the control group .*cpu/ft-serving"):
        namespace.stop(patience=0.1)


def test_with_version_2_there_is_one_hierarchy(machine: Path) -> None:
    (machine / "cgroup" / "cgroup.procs").touch()

    namespace._prepare_folders()

    assert (machine / "cgroup" / "ft-serving").is_dir()
    assert not (machine / "cgroup" / "cpu" / "ft-serving").exists()
