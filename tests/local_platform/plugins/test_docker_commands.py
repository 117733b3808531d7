"""Running the docker command line."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from local_platform.plugins.docker.commands import Docker
from local_platform.plugins.docker.errors import (
    CancelledError,
    CommandError,
    DaemonUnreachableError,
    DockerMissingError,
)
from tests.local_platform.plugins.docker_command import DockerCommand, install


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerCommand:
    return install(tmp_path / "bin", monkeypatch)


def test_lines_are_said_as_they_come_and_given_back(docker: DockerCommand) -> None:
    docker.answer("build", "one\n\n  two\n")
    said: list[str] = []
    assert Docker(None).run("build", say=said.append) == ["one", "two"]
    assert said == ["one", "two"]


def test_a_failed_command_tells_its_last_line(docker: DockerCommand) -> None:
    docker.answer("pull", "trying\nno such image", status=1)
    with pytest.raises(CommandError, match=r"^docker pull: no such image$") as caught:
        Docker(None).run("pull")
    assert caught.value.lines == ["trying", "no such image"]


def test_a_failed_command_that_says_nothing_tells_its_status(docker: DockerCommand) -> None:
    docker.answer("pull", status=125)
    with pytest.raises(CommandError, match="ended with status 125"):
        Docker(None).run("pull")


def test_the_host_goes_before_that_of_the_environment(
    docker: DockerCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///environment.sock")
    Docker(None).run("push")
    Docker("unix:///given.sock").run("push")
    assert [call["host"] for call in docker.calls("push")] == [
        "unix:///environment.sock",
        "unix:///given.sock",
    ]


def test_a_daemon_that_does_not_answer_is_told_with_its_address(docker: DockerCommand) -> None:
    docker.answer("version", "Cannot connect to the Docker daemon.", status=1)
    expected = "failed to connect to any docker daemon at unix:///a.sock; .*: Cannot connect"
    with pytest.raises(DaemonUnreachableError, match=expected):
        Docker("unix:///a.sock").require_daemon()


def test_a_stop_ends_what_runs_and_lets_nothing_start(docker: DockerCommand) -> None:
    docker.answer("build", "begun", sleep=60)
    command = Docker(None)
    begun = threading.Event()
    caught: list[BaseException] = []

    def build() -> None:
        try:
            command.run("build", say=lambda _: begun.set())
        except CancelledError as exc:
            caught.append(exc)

    thread = threading.Thread(target=build)
    thread.start()
    assert begun.wait(timeout=20)
    start = time.monotonic()
    command.stop()
    thread.join(timeout=20)
    assert time.monotonic() - start < 20
    assert len(caught) == 1
    with pytest.raises(CancelledError):
        command.run("push")
    assert docker.calls("push") == []


def test_a_newer_command_line_without_buildx_is_passed_over(
    docker: DockerCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = tmp_path / "older"
    shutil.copytree(docker.folder, older)
    script = (older / "docker").read_text().replace(str(docker.folder), str(older))
    (older / "docker").write_text(script)
    monkeypatch.setenv("PATH", f"{docker.folder}:{older}")
    docker.answer("--version", "Docker version 28.2.2, build e6534b4")
    docker.answer("buildx", "docker: unknown command: docker buildx", status=1)
    Docker(None).run("build")
    assert docker.calls("build") == []
    assert len(DockerCommand(older).calls("build")) == 1


def test_a_newer_command_line_with_buildx_is_taken(docker: DockerCommand) -> None:
    docker.answer("--version", "Docker version 28.2.2, build e6534b4")
    Docker(None).run("build")
    assert len(docker.calls("build")) == 1


def test_a_machine_whose_command_line_cannot_build_is_told_what_to_install(
    docker: DockerCommand,
) -> None:
    docker.answer("--version", "Docker version 28.2.2, build e6534b4")
    docker.answer("buildx", status=1)
    with pytest.raises(DockerMissingError, match=r"bin/docker cannot build .* install .* buildx"):
        Docker(None).run("build")


def test_a_machine_without_docker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DockerMissingError, match="no docker command line on PATH"):
        Docker(None).run("build")
