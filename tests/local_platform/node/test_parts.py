"""The programs of the node, as they are started."""

from pathlib import Path

from local_platform.node.parts import services


def commands() -> dict[str, list[str]]:
    return {one.name: list(one.command) for one in services(lambda name: Path("/tools") / name)}


def test_parts_come_in_the_order_in_which_they_need_each_other() -> None:
    assert list(commands()) == [
        "uplink", "containerd", "etcd", "registry", "dockerd", "hub", "kube-apiserver",
        "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "volumes",
    ]  # fmt: skip


def test_built_tools_are_run_from_where_they_were_built() -> None:
    found = {name for name, command in commands().items() if command[0] == f"/tools/{name}"}
    assert found == {
        "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
    }  # fmt: skip


def test_etcd_answers_inside_the_node_alone() -> None:
    assert commands()["etcd"] == [
        "etcd",
        "--data-dir=/var/lib/ft-serving/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--auto-compaction-retention=1",
        "--snapshot-count=1000",
        "--max-snapshots=2",
        "--max-wals=2",
        "--logger=zap",
        "--log-level=warn",
    ]


def test_the_uplink_runs_in_the_machines_network() -> None:
    assert commands()["uplink"][:3] == ["nsenter", "--net=/run/ft-serving/host-network", "--"]


def test_dockerd_keeps_no_process_id_that_a_later_node_would_stumble_over() -> None:
    assert "--pidfile=" in commands()["dockerd"]


def test_the_api_server_checks_whoever_asks() -> None:
    command = commands()["kube-apiserver"]
    assert "--authorization-mode=Node,RBAC" in command
    assert "--client-ca-file=/var/lib/ft-serving/certificates/ca.crt" in command
    assert "--kubelet-preferred-address-types=InternalIP" in command, "`kubectl logs` needs it"


def test_no_two_parts_have_a_probe_that_says_nothing() -> None:
    silent = [one.name for one in services(Path) if tuple(one.probe) == ("true",)]
    assert silent == ["volumes"], "it only watches: nobody can ask it anything"


def test_parts_of_our_own_start_again_when_their_code_changes() -> None:
    own = {
        "uplink": "uplink.py",
        "hub": "server.py",
        "volumes": "volumes.py",
    }
    for one in services(lambda name: Path("/tools") / name):
        names = {path.name for path in one.files}
        if one.name in own:
            assert {own[one.name], "settings.py"} <= names
            assert all(path.exists() for path in one.files if path.suffix == ".py")
        else:
            assert "settings.py" not in names
