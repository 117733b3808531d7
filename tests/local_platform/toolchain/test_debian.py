"""Debian packages, with a runner that stands for dpkg, apt-get and systemctl."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.toolchain.debian import PACKAGES, install_packages

OWN = "#!/bin/sh\nexit 0\n"


class Machine:
    """Answers commands, and records them with the policy that was in place."""

    def __init__(self, policy: Path, *missing: str) -> None:
        self.policy = policy
        self.missing = missing
        self.unknown = False
        self.failure = ""
        self.brought = ""
        self.commands: list[list[str]] = []
        self.policies: list[str] = []

    def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        self.commands.append(list(command))
        if command[0] == "dpkg-query":
            known = [package for package in command[3:] if package not in self.missing]
            lines = [f"{package} installed" for package in known]
            lines += [f"{package} config-files" for package in self.missing]
            return subprocess.CompletedProcess(command, 1, "\n".join(lines), "no packages found")
        if command[:2] == ["apt-get", "update"]:
            self.unknown = False
        elif command[0] == "apt-get":
            self.policies.append(self.policy.read_text())
            assert self.policy.stat().st_mode & 0o111
            if self.brought:
                self.policy.write_text(self.brought)
            if self.unknown:
                said = "E: Unable to locate package\n"
                return subprocess.CompletedProcess(command, 100, "", said)
        return subprocess.CompletedProcess(command, 100 if self.failure else 0, "", self.failure)

    def install(self, said: list[str], systemd: Path = Path("/nonexistent")) -> None:
        install_packages(said.append, run=self, policy=self.policy, systemd=systemd)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def test_only_what_is_missing_is_installed(policy: Path, said: list[str]) -> None:
    machine = Machine(policy, "etcd-server", "runit")
    machine.install(said)
    [command] = [command for command in machine.commands if command[0] == "apt-get"]
    assert command[-2:] == ["etcd-server", "runit"]
    assert not set(command) & (set(PACKAGES) - {"etcd-server", "runit"})
    assert "--no-install-recommends" in command
    assert "--no-remove" in command, "Docker's own packages conflict with Debian's, and stay"
    assert said == ["installing Debian packages: etcd-server, runit"]
    machine.missing = ()
    machine.install(said)
    assert len(said) == 1, "nothing is done where all is installed"


@pytest.mark.parametrize("own", ["none", "file", "link"])
def test_services_stay_off_meanwhile_and_the_machines_own_policy_is_back_afterwards(
    policy: Path, said: list[str], own: str
) -> None:
    if own == "file":
        policy.write_text(OWN)
    elif own == "link":
        policy.symlink_to("elsewhere")
    machine = Machine(policy, "docker.io")
    machine.failure = "E: broken\n"

    with pytest.raises(PlatformError):
        machine.install(said)

    assert machine.policies[0].endswith("\nexit 101\n")
    assert list(policy.parent.iterdir()) == ([] if own == "none" else [policy])
    if own == "file":
        assert policy.read_text() == OWN
    elif own == "link":
        assert policy.readlink() == Path("elsewhere"), "also where it dangles"


def test_a_killed_runs_policy_goes_and_that_of_a_package_stays(
    policy: Path, said: list[str]
) -> None:
    machine = Machine(policy, "docker.io")
    machine.install(said)
    policy.write_text(machine.policies[0])
    policy.with_name("policy-rc.d.ft-serving").write_text(OWN)
    machine.install(said)
    assert policy.read_text() == OWN
    assert list(policy.parent.iterdir()) == [policy]
    policy.unlink()
    machine.brought = "of the package"
    machine.install(said)
    assert policy.read_text() == "of the package"


def test_an_old_index_is_updated_and_new_units_are_kept_from_the_next_boot(
    policy: Path, said: list[str], tmp_path: Path
) -> None:
    machine = Machine(policy, "docker.io", "runit")
    machine.unknown = True
    machine.install(said, systemd=tmp_path)
    verbs = [command[1] for command in machine.commands[1:]]
    assert verbs == ["install", "update", "install", "disable"]
    assert machine.commands[-1] == ["systemctl", "disable", "docker.service", "docker.socket"]


def test_a_failure_is_told_with_what_to_do(
    policy: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(policy, "gcc")
    machine.failure = "E: Failed to fetch http://deb.example/gcc  Could not connect\n"
    with pytest.raises(PlatformError, match=r"(?s)Could not connect\n.* apt-get install .* gcc$"):
        machine.install(said)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PlatformError, match=r"only root can install .* missing: gcc"):
        machine.install(said)

    def no_debian(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError(command[0])

    with pytest.raises(PlatformError, match="runs on Debian"):
        install_packages(said.append, run=no_debian, policy=policy)
