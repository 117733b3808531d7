"""Services of runit: their scripts, byte for byte, and when one counts as changed."""

import hashlib
from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.node import services
from local_platform.node.services import Service

NO_FILES = hashlib.sha256().hexdigest()


def test_a_run_script_hands_its_output_on_and_becomes_the_program() -> None:
    service = Service(
        name="etcd",
        command=["etcd", "--data-dir=/a folder", "--logger=zap"],
        environment={"GOGC": "50", "A": "it's"},
    )

    assert service.script() == (
        "#!/bin/sh\n"
        f"# Files: {NO_FILES}\n"
        "exec 2>&1\n"
        "export A='it'\"'\"'s'\n"
        "export GOGC=50\n"
        "exec setpriv --pdeathsig KILL -- etcd '--data-dir=/a folder' --logger=zap\n"
    )


def test_a_service_is_written_once_and_again_when_its_command_changes(service_folder: Path) -> None:
    assert services.write(Service(name="one", command=["true"])), "it is new"
    run = service_folder / "one" / "run"
    first = run.stat()
    assert first.st_mode & 0o777 == 0o755

    assert not services.write(Service(name="one", command=["true"])), "nothing has changed"
    assert run.stat().st_ino == first.st_ino
    assert services.write(Service(name="one", command=["true", "again"]))
    assert "true again" in run.read_text()


def test_a_service_counts_as_changed_when_a_file_that_it_reads_does(
    service_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "configuration"
    file.write_text("1")
    service = Service(name="one", command=["true"], files=(file,))
    assert services.write(service)
    assert not services.write(service)

    file.write_text("2")

    assert services.write(service)


def test_a_log_is_turned_over_in_two_megabytes_thrice(service_folder: Path, tmp_path: Path) -> None:
    service = Service(name="one", command=["true"])
    services.write(service)

    log = service_folder / "one" / "log" / "run"
    assert log.read_text() == f"#!/bin/sh\nexec svlogd -ttt {tmp_path}/log/one\n"
    assert log.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "log" / "one" / "config").read_text() == "s2000000\nn2\n"
    assert service.log == tmp_path / "log" / "one" / "current"


def test_names_are_those_of_folders_with_a_script(service_folder: Path) -> None:
    assert services.names() == [], "there is no folder yet"
    for name in ("registry", "etcd"):
        services.write(Service(name=name, command=["true"]))
    (service_folder / "half").mkdir()

    assert services.names() == ["etcd", "registry"]

    services.remove("etcd")
    assert services.names() == ["registry"]


def test_a_service_that_has_no_supervisor_yet_is_left_to_it(
    service_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services.write(Service(name="new", command=["true"]))
    monkeypatch.setenv("PATH", str(service_folder))  # No `sv` there: calling it would fail.

    services.start("new")
    services.restart("new")
    services.stop("new")


@pytest.fixture
def supervised(service_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service with a supervisor, and an `sv` that does what the returned script says."""
    services.write(Service(name="one", command=["true"]))
    (service_folder / "one" / "supervise").mkdir()
    (service_folder / "one" / "supervise" / "ok").touch()
    program = tmp_path / "bin" / "sv"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return program


def test_a_restart_is_one_by_force_after_ten_seconds(supervised: Path, tmp_path: Path) -> None:
    supervised.write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/asked\n')

    services.restart("one")

    asked = (tmp_path / "asked").read_text()
    assert asked == f"-w 10 force-restart {tmp_path}/services/one\n"


def test_that_force_was_needed_is_no_error(supervised: Path) -> None:
    supervised.write_text("#!/bin/sh\necho 'kill: run: one: (pid 7) 30s'\nexit 1\n")

    services.stop("one")


def test_what_sv_says_of_a_failure_is_in_the_error(supervised: Path) -> None:
    supervised.write_text("#!/bin/sh\necho 'fail: one: runsv not running'\nexit 1\n")

    with pytest.raises(PlatformError, match=r"^sv up one failed: fail: one: runsv not"):
        services.start("one")


def test_a_state_is_without_paths_and_without_the_logs_part(supervised: Path) -> None:
    supervised.write_text('#!/bin/sh\necho "run: $2: (pid 12) 34s; run: log: (pid 11) 34s"\n')

    assert services.state("one") == "run: one: (pid 12) 34s"


def test_the_last_lines_of_a_log_are_read_and_none_where_there_is_no_log(tmp_path: Path) -> None:
    log = tmp_path / "current"
    assert services.last_lines(log, 3) == []

    log.write_bytes(b"".join(b"line %d\n" % number for number in range(100_000)) + b"\xff\n")

    assert services.last_lines(log, 3) == ["line 99998", "line 99999", "\ufffd"]
