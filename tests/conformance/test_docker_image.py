"""`docker.Image`: built, pushed, and rebuilt only when it has to be."""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from local_platform import environment, settings
from local_platform.addons.debian import base_image
from tests.conformance import registry
from tests.conformance.stack import Stack
from tests.pulumi_cli import Step

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
def repository() -> Iterator[str]:
    """A repository that the registry does not have; Docker forgets its images at the end."""
    repository = f"conformance/{secrets.token_hex(6)}"
    yield repository
    for name in (repository, f"{settings.REGISTRY}/{repository}"):
        images = docker("image", "ls", "--quiet", name).split()
        if images:
            docker("image", "rm", "--force", *set(images))


@pytest.fixture
def context(stack: Stack) -> None:
    """A folder `app` in the program's folder, of which a build copies one file."""
    app = stack.folder / "app"
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    (app / ".dockerignore").write_text("notes\n")
    (app / "data").write_text("first")


def program(name: str, build: str = "docker.DockerBuildArgs(context='app')", **more: object) -> str:
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


def test_what_changes_no_image_leaves_it_alone(
    stack: Stack, repository: str, context: None
) -> None:
    app = stack.folder / "app"
    stack.up(program(named(repository)))
    assert stack.up(program(named(repository))).operations("image") == ["same"]
    os.utime(app / "data", (1, 1))
    assert stack.up(program(named(repository))).operations("image") == ["same"], "a touched file"
    (app / "notes").write_text("more")
    assert stack.up(program(named(repository))).operations("image") == ["same"], "an ignored file"


def test_changed_content_is_an_update_in_place(
    stack: Stack, repository: str, context: None
) -> None:
    stack.up(program(named(repository)))
    before = stack.outputs()["digest"]
    (stack.folder / "app" / "data").write_text("second")
    preview = stack.preview(program(named(repository))).step("image")
    assert (preview.operation, preview.diffs) == ("update", ["build"])
    assert is_unknown(preview, "repoDigest"), "whatever uses the digest has to be in the preview"
    report = stack.up(program(named(repository)))
    assert report.operations("image") == ["update"], report.messages
    assert report.step("image").diffs == ["build"]
    after = stack.outputs()["digest"]
    assert after != before
    assert after.endswith(f"@{registry.digest(repository)}")


def test_a_changed_mode_is_an_update_in_place(stack: Stack, repository: str, context: None) -> None:
    stack.up(program(named(repository)))
    before = stack.outputs()["digest"]
    (stack.folder / "app" / "data").chmod(0o755)
    assert stack.up(program(named(repository))).operations("image") == ["update"]
    assert stack.outputs()["digest"] != before


def test_a_file_that_is_not_copied_is_an_update_with_the_same_digest(
    stack: Stack, repository: str, context: None
) -> None:
    stack.up(program(named(repository)))
    before = stack.outputs()["digest"]
    (stack.folder / "app" / "extra").write_text("")
    assert stack.up(program(named(repository))).operations("image") == ["update"]
    assert stack.outputs()["digest"] == before


def test_an_ignore_file_of_the_dockerfile_goes_before_that_of_the_context(
    stack: Stack, repository: str, context: None
) -> None:
    app = stack.folder / "app"
    (app / "Dockerfile.dockerignore").write_text("**\n!data\n")
    stack.up(program(named(repository)))
    (app / "extra").write_text("")
    assert stack.up(program(named(repository))).operations("image") == ["same"]


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
    report = stack.up(program(named(repository)))
    assert not report.succeeded
    assert "executor failed running [/bin/sh -c echo the root cause; false]" in report.messages
    assert "exit code: 1" in report.messages
    after = stack.resource("image")
    assert after["outputs"] == before["outputs"]
    assert after["inputs"] == before["inputs"], "the next up has to try again"


def test_a_registry_that_does_not_answer_is_told(stack: Stack, context: None) -> None:
    report = stack.up(program("localhost:9/conformance:1"))
    assert not report.succeeded
    assert "error reading push output: " in report.messages
    assert "connection refused" in report.messages
    with pytest.raises(KeyError):
        stack.resource("image")


def test_a_name_without_a_registry_is_refused_before_anything_is_built(
    stack: Stack, context: None
) -> None:
    report = stack.preview(program("conformance:1"))
    assert not report.succeeded
    assert "repository name must be canonical" in report.messages


def test_an_image_that_is_not_pushed_is_pinned_by_its_local_identifier(
    stack: Stack, repository: str, context: None
) -> None:
    report = stack.up(program(f"{repository}:1", skip_push=True))
    assert report.succeeded, report.messages
    assert stack.outputs()["digest"] == local_identifier(f"{repository}:1")


def test_arguments_and_target_reach_the_build(stack: Stack, repository: str) -> None:
    (stack.folder / "Dockerfile").write_text(
        "FROM scratch AS wanted\nARG FILE\nCOPY $FILE /data\nFROM nothing.invalid/image\n"
    )
    (stack.folder / "one").write_text("1")
    (stack.folder / "two").write_text("2")
    build = "docker.DockerBuildArgs(target='wanted', args={{'FILE': '{}'}})"
    report = stack.up(program(named(repository), build.format("one")))
    assert report.succeeded, report.messages
    before = stack.outputs()["digest"]
    report = stack.up(program(named(repository), build.format("two")))
    assert report.step("image").diffs == ["build"]
    assert stack.outputs()["digest"] != before


def test_a_preview_builds_and_does_not_push_when_it_is_asked_to(
    stack: Stack, repository: str, context: None
) -> None:
    name = named(repository)
    report = stack.preview(program(name, build_on_preview=True))
    assert report.succeeded, report.messages
    assert report.step("image").outputs["repoDigest"] == local_identifier(name)
    assert registry.digest(repository) is None


def test_a_password_is_stored_as_a_secret_and_changes_no_image(
    stack: Stack, repository: str, context: None
) -> None:
    credentials = (
        "docker.RegistryArgs(server={!r}, username='user', password=pulumi.Output.secret({!r}))"
    )
    build = "docker.DockerBuildArgs(context='app'), registry=" + credentials
    first, second = secrets.token_hex(8), secrets.token_hex(8)
    report = stack.up(program(named(repository), build.format(settings.REGISTRY, first)))
    assert report.succeeded, report.messages
    assert first not in report.messages
    assert first not in stack.state()
    report = stack.up(program(named(repository), build.format(settings.REGISTRY, second)))
    assert report.operations("image") == ["same"], "credentials are changed often"


def test_a_daemon_that_does_not_answer_is_told(
    stack: Stack, repository: str, context: None
) -> None:
    stack.configure("docker:host", "unix:///nowhere/docker.sock")
    report = stack.up(program(named(repository)))
    assert not report.succeeded
    assert "failed to connect to any docker daemon" in report.messages


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
