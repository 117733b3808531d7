"""The stand-in for Pulumi's docker plugin builds and pushes `docker.Image` as the real one does."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from local_platform import environment, settings
from local_platform.addons.debian import base_image
from tests.local_platform import pushed as registry
from tests.local_platform.small_stack import Stack
from tests.pulumi_cli import Step, platform_variables

pytestmark = [pytest.mark.platform, pytest.mark.slow]

# Pulumi's sign for a value that is not known yet, in sdk/go/common/resource/plugin/rpc.go.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

PROGRAM = """
    import pulumi
    import pulumi_docker as docker

    image = docker.Image("image", image_name={name!r}, {arguments})
    pulumi.export("id", image.id)
    pulumi.export("digest", image.repo_digest)
"""


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """An empty stack whose programs use the platform, and the plugins that it has."""
    return Stack(tmp_path / "stack", platform_variables())


@pytest.fixture
def repository() -> Iterator[str]:
    """A repository that the registry does not have; Docker forgets its images at the end."""
    repository = f"small/{secrets.token_hex(6)}"
    yield repository
    for name in (repository, f"{settings.REGISTRY}/{repository}"):
        images = docker("image", "ls", "--quiet", name).split()
        if images:
            docker("image", "rm", "--force", *set(images))


@pytest.fixture
def context(stack: Stack) -> None:
    """A folder `app` in the program's folder, of which a build copies one file."""
    write_context(stack)


def write_context(stack: Stack) -> None:
    app = stack.folder / "app"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    (app / "data").write_text("first")


def program(
    name: str,
    build: str = "docker.DockerBuildArgs(context='app', platform='linux/amd64')",
    **more: object,
) -> str:
    """A program with one image."""
    given = "".join(f", {key}={value!r}" for key, value in more.items())
    return PROGRAM.format(name=name, arguments=f"build={build}{given}")


def named(repository: str, tag: str = "1") -> str:
    return f"{settings.REGISTRY}/{repository}:{tag}"


def docker(*arguments: str) -> str:
    """What a docker command writes, against the platform's daemon."""
    return subprocess.run(
        ["docker", *arguments],
        env={**os.environ, **environment.variables()},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def local_identifier(name: str) -> str | None:
    """The identifier of an image that Docker has."""
    return docker("image", "ls", "--quiet", "--no-trunc", name).strip() or None


def is_running(mark: str) -> bool:
    """Whether a process has this text in its command line."""
    processes = psutil.process_iter(["cmdline"])
    return any(mark in " ".join(process.info["cmdline"] or ()) for process in processes)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.1)


def is_unknown(step: Step, output: str) -> bool:
    return bool(step.outputs.get(output, UNKNOWN) == UNKNOWN)


def test_a_preview_of_a_new_image_builds_nothing_and_knows_its_name(
    stack: Stack, repository: str, context: None
) -> None:
    name = named(repository)
    report = stack.preview(program(name))
    step = report.step("image")
    assert report.succeeded, report.messages
    assert step.operation == "create"
    assert step.outputs["imageName"] == name
    for output in ("baseImageName", "platform", "dockerfile", "context", "repoDigest"):
        assert is_unknown(step, output), f"{output} is known only after a build"
    assert local_identifier(name) is None
    assert registry.digest(repository) is None


def test_an_image_is_built_and_pushed_and_pinned_by_the_registrys_digest(
    stack: Stack, repository: str, context: None
) -> None:
    name = named(repository)
    report = stack.up(program(name))
    assert report.succeeded, report.messages
    outputs = stack.resource("image")["outputs"]
    assert outputs["repoDigest"] == (
        f"{settings.REGISTRY}/{repository}@{registry.digest(repository)}"
    )
    assert outputs["imageName"] == outputs["baseImageName"] == name
    assert outputs["platform"] == "linux/amd64"
    assert outputs["context"] == "app"
    assert outputs["dockerfile"] == "Dockerfile", "it is relative to the context"
    assert stack.resource("image")["id"] == name


def test_another_tag_is_an_update_that_leaves_the_old_tag(
    stack: Stack, repository: str, context: None
) -> None:
    stack.up(program(named(repository)))
    report = stack.up(program(named(repository, "2")))
    assert report.operations("image") == ["update"]
    assert report.step("image").diffs == ["imageName"]
    assert stack.outputs()["id"] == named(repository), "the identifier keeps the first name"
    assert stack.resource("image")["outputs"]["imageName"] == named(repository, "2")
    assert registry.digest(repository, "1") == registry.digest(repository, "2") is not None


def test_arguments_reach_the_build_and_their_change_is_an_update(
    stack: Stack, repository: str
) -> None:
    (stack.folder / "Dockerfile").write_text("FROM scratch\nARG FILE\nCOPY $FILE /data\n")
    (stack.folder / "one").write_text("1")
    (stack.folder / "two").write_text("2")
    build = "docker.DockerBuildArgs(args={{'FILE': '{}'}})"
    report = stack.up(program(named(repository), build.format("one")))
    assert report.succeeded, report.messages
    before = stack.outputs()["digest"]
    assert stack.up(program(named(repository), build.format("one"))).operations("image") == ["same"]
    report = stack.up(program(named(repository), build.format("two")))
    assert report.step("image").diffs == ["build"]
    assert stack.outputs()["digest"] != before


def test_a_build_shows_a_line_a_step(stack: Stack, repository: str, context: None) -> None:
    report = stack.up(program(named(repository)))
    shown = [line for line in report.messages.splitlines() if "COPY data /data" in line]
    assert len(shown) == 1, report.messages


def test_what_the_stand_in_does_not_serve_is_refused_by_name(stack: Stack, context: None) -> None:
    build = "docker.DockerBuildArgs(context='app', target='wanted')"
    report = stack.preview(program(named("any"), build, skip_push=True))
    assert not report.succeeded
    for path in ("build.target", "skipPush"):
        assert path in report.messages


def test_destroy_removes_nothing(stack: Stack, repository: str, context: None) -> None:
    stack.up(program(named(repository)))
    digest = registry.digest(repository)
    report = stack.destroy()
    assert report.operations("image") == ["delete"]
    assert digest is not None
    assert registry.digest(repository) == digest
    assert local_identifier(named(repository)) is not None


def test_a_manifest_that_is_gone_from_the_registry_is_not_noticed(
    stack: Stack, repository: str, context: None
) -> None:
    stack.up(program(named(repository)))
    digest = registry.digest(repository)
    assert digest is not None
    registry.delete(repository, digest)
    assert registry.digest(repository) is None
    assert set(stack.refresh().operations("image")) <= {"refresh", "same"}
    assert stack.up(program(named(repository))).operations("image") == ["same"]


def test_a_failed_step_is_told_and_the_old_state_is_kept(
    stack: Stack, repository: str, context: None
) -> None:
    stack.up(program(named(repository)))
    before = stack.resource("image")
    (stack.folder / "app" / "Dockerfile").write_text(
        f"FROM {base_image(print)}\nRUN echo the root cause; false\n"
    )
    report = stack.up(program(named(repository, "2")))
    assert not report.succeeded
    assert "executor failed running [/bin/sh -c echo the root cause; false]" in report.messages
    assert "exit code: 1" in report.messages
    after = stack.resource("image")
    assert after["outputs"] == before["outputs"]
    assert after["inputs"] == before["inputs"], "the next up has to try again"


def test_a_registry_that_does_not_answer_is_told(stack: Stack, context: None) -> None:
    report = stack.up(program("localhost:9/small:1"))
    assert not report.succeeded
    assert "docker push failed:" in report.messages
    assert "connection refused" in report.messages
    with pytest.raises(KeyError):
        stack.resource("image")


def test_a_name_without_a_registry_is_refused_before_anything_is_built(
    stack: Stack, context: None
) -> None:
    report = stack.preview(program("small:1"))
    assert not report.succeeded
    assert "must be REGISTRY/REPOSITORY:TAG; got 'small:1'" in report.messages


def test_a_password_is_stored_as_a_secret_and_changes_no_image(
    stack: Stack, repository: str, context: None
) -> None:
    credentials = (
        "docker.RegistryArgs(server={!r}, username='user', password=pulumi.Output.secret({!r}))"
    )
    build = "docker.DockerBuildArgs(context='app', platform='linux/amd64'), registry=" + credentials
    first, second = secrets.token_hex(8), secrets.token_hex(8)
    report = stack.up(program(named(repository), build.format(settings.REGISTRY, first)))
    assert report.succeeded, report.messages
    assert first not in report.messages
    assert first not in stack.state()
    report = stack.up(program(named(repository), build.format(settings.REGISTRY, second)))
    assert report.operations("image") == ["same"], "credentials are changed often"


def test_a_daemon_that_does_not_answer_is_told(tmp_path: Path, repository: str) -> None:
    variables = {**platform_variables(), "DOCKER_HOST": "unix:///nowhere/docker.sock"}
    stack = Stack(tmp_path / "alone", variables)
    write_context(stack)
    report = stack.up(program(named(repository)))
    assert not report.succeeded
    assert "No Docker daemon answers at unix:///nowhere/docker.sock" in report.messages


def test_an_interrupt_ends_a_build(stack: Stack, repository: str, context: None) -> None:
    mark = secrets.token_hex(6)
    (stack.folder / "app" / "Dockerfile").write_text(
        f"FROM {base_image(print)}\nRUN : {mark}; sleep 300; true\n"
    )
    running = stack.start_up(program(named(repository)))
    try:
        wait_until(lambda: is_running(mark), "the build to begin")
        running.send_signal(signal.SIGINT)
        running.wait(timeout=30)
        wait_until(lambda: not is_running(mark), "the build to end")
    finally:
        running.kill()
        running.wait()
    with pytest.raises(KeyError):
        stack.resource("image")
