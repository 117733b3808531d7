"""Debian packages, with a runner that stands for dpkg, apt-get and systemctl."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.toolchain.debian import PACKAGES, install_packages


class Machine:
    """Answers commands, and remembers them with the policy that was in place."""

    def __init__(self, policy: Path, missing: Sequence[str] = ()) -> None:
        self.policy = policy
        self.missing = missing
        self.unknown: set[str] = set()
        self.failure = ""
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
            self.unknown.clear()
        elif command[0] == "apt-get":
            self.policies.append(self.policy.read_text())
            assert self.policy.stat().st_mode & 0o111
            if self.unknown:
                return subprocess.CompletedProcess(
                    command, 100, "", f"E: Unable to locate package {min(self.unknown)}\n"
                )
        return subprocess.CompletedProcess(command, 100 if self.failure else 0, "", self.failure)

    def install(self, said: list[str], systemd: Path = Path("/nonexistent")) -> None:
        install_packages(said.append, run=self, policy=self.policy, systemd=systemd)

    @property
    def installs(self) -> list[list[str]]:
        return [command for command in self.commands if command[:2] == ["apt-get", "install"]]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "policy-rc.d"


def test_only_what_is_missing_is_installed(policy: Path, said: list[str]) -> None:
    machine = Machine(policy, ["etcd-server", "runit"])
    machine.install(said)
    [command] = machine.installs
    assert command[-2:] == ["etcd-server", "runit"]
    assert not set(command) & (set(PACKAGES) - {"etcd-server", "runit"})
    assert "--no-install-recommends" in command
    assert "--no-remove" in command, "Docker's own packages conflict with Debian's, and stay"
    assert ["apt-get", "update"] not in machine.commands
    assert said == ["installing Debian packages: etcd-server, runit"]
    machine.missing = ()
    machine.install(said)
    assert len(said) == 1, "nothing is done where all is installed"


@pytest.mark.parametrize("own", ["none", "file", "link"])
def test_services_stay_off_meanwhile_and_the_machines_own_policy_is_back_afterwards(
    policy: Path, said: list[str], own: str
) -> None:
    text = "#!/bin/sh\nexit 0\n"
    if own == "file":
        policy.write_text(text)
    elif own == "link":
        policy.symlink_to("elsewhere")
    machine = Machine(policy, ["docker.io"])
    machine.failure = "E: broken\n"

    with pytest.raises(PlatformError):
        machine.install(said)

    assert machine.policies[0].endswith("\nexit 101\n")
    assert list(policy.parent.iterdir()) == ([] if own == "none" else [policy])
    if own == "file":
        assert policy.read_text() == text
    elif own == "link":
        assert policy.readlink() == Path("elsewhere"), "also where it dangles"


def test_what_a_killed_run_left_behind_is_put_right(policy: Path, said: list[str]) -> None:
    machine = Machine(policy, ["docker.io"])
    machine.install(said)
    policy.write_text(machine.policies[0])
    policy.with_name("policy-rc.d.ft-serving").write_text("#!/bin/sh\nexit 0\n")
    machine.install(said)
    assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert list(policy.parent.iterdir()) == [policy]


def test_a_policy_that_a_package_brought_meanwhile_stays(policy: Path, said: list[str]) -> None:
    class Package(Machine):
        def __call__(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
            done = super().__call__(command)
            if "install" in command:
                self.policy.write_text("of the package")
            return done

    Package(policy, ["docker.io"]).install(said)
    assert policy.read_text() == "of the package"


def test_the_index_is_updated_when_it_lacks_a_package(policy: Path, said: list[str]) -> None:
    machine = Machine(policy, ["slirp4netns"])
    machine.unknown = {"slirp4netns"}
    machine.install(said)
    assert [command[1] for command in machine.commands[1:]] == ["install", "update", "install"]


def test_new_units_are_kept_from_the_next_boot(
    policy: Path, said: list[str], tmp_path: Path
) -> None:
    machine = Machine(policy, ["docker.io", "runit"])
    machine.install(said, systemd=tmp_path)
    assert machine.commands[-1] == ["systemctl", "disable", "docker.service", "docker.socket"]


def test_a_failure_of_apt_is_told_with_what_to_do(policy: Path, said: list[str]) -> None:
    machine = Machine(policy, ["gcc"])
    machine.failure = "E: Failed to fetch http://deb.example/gcc  Could not connect\n"
    with pytest.raises(PlatformError) as caught:
        machine.install(said)
    message = str(caught.value)
    assert "  E: Failed to fetch http://deb.example/gcc  Could not connect\n" in message
    assert message.endswith("apt-get install --no-install-recommends gcc")


def test_a_machine_that_is_no_debian_is_told_so(policy: Path, said: list[str]) -> None:
    def run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        raise FileNotFoundError(command[0])

    with pytest.raises(PlatformError, match="runs on Debian"):
        install_packages(said.append, run=run, policy=policy)


def test_who_may_not_install_is_told_so(
    policy: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(PlatformError, match=r"only root can install .* missing: kmod"):
        Machine(policy, ["kmod"]).install(said)
