"""The node's parts as services of runit: their scripts, their changes, their health."""

from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.node import health, namespace, services
from local_platform.node.services import Service


def service(name: str, *probe: str) -> Service:
    return Service(name=name, command=["true"], probe=probe)


@pytest.fixture
def sv(service_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program `sv`, for a service `one` that has a supervisor."""
    services.write(service("one"))
    services.start("one")  # It has no supervisor yet, which will start it; `sv` would fail.
    (service_folder / "one" / "supervise").mkdir()
    (service_folder / "one" / "supervise" / "ok").touch()
    program = tmp_path / "bin" / "sv"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_a_restart_is_by_force_after_ten_seconds_which_is_no_error(
    sv: Path, tmp_path: Path
) -> None:
    sv.write_text(
        f"#!/bin/sh\necho \"$@\" >{tmp_path}/asked\necho 'kill: run: one: (pid 7) 30s'\nexit 1\n"
    )

    services.restart("one")

    assert (tmp_path / "asked").read_text() == f"-w 10 force-restart {tmp_path}/services/one\n"


def test_the_answers_of_sv_are_told(sv: Path) -> None:
    sv.write_text("#!/bin/sh\necho 'fail: one: runsv not running'\nexit 1\n")
    with pytest.raises(PlatformError, match=r"^sv up one failed: fail: one: runsv not"):
        services.start("one")
    sv.write_text('#!/bin/sh\necho "run: $2: (pid 12) 34s; run: log: (pid 11) 34s"\n')
    assert services.state("one") == "run: one: (pid 12) 34s"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run probes outside the node."""
    monkeypatch.setattr(namespace, "entering", list)
    monkeypatch.setattr(health, "_PAUSE_SECONDS", 0)


def test_a_service_works_when_its_probe_succeeds(
    outside: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_PROBE_SECONDS", 0.1)
    asked = [
        service("works", "true"),
        service("refused", "sh", "-c", "echo refused >&2; false"),
        service("fails", "false"),
        service("hangs", "sleep", "20"),
    ]
    assert health.failures(asked) == {
        "refused": "refused",
        "fails": "its probe exited with status 1",
        "hangs": "no answer within 0.1 s",
    }
    late = ("sh", "-c", f"test -e {tmp_path}/one || {{ touch {tmp_path}/one; false; }}")
    health.wait([service("late", *late)], 20, lambda _: None)


def test_patience_ends_with_each_reason_and_the_end_of_each_log(
    outside: None, service_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log" / "etcd" / "current"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"first\n" + b"noise\n" * 20 + b"2026-11-23 disk full \xff\n")

    with pytest.raises(PlatformError) as caught:
        health.wait([service("etcd", "false"), service("registry", "true")], 0, lambda _: None)

    message = str(caught.value)
    assert message.startswith("etcd does not work: its probe exited with status 1 (")
    assert message.endswith("    2026-11-23 disk full \ufffd")
    assert "first" not in message
    assert "registry" not in message
