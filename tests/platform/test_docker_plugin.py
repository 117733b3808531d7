"""The stand-in for Pulumi's docker plugin builds and pushes `docker.Image` as the real one does."""

import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import psutil
import pytest

from local_platform import settings
from tests.platform.images import by_digest, docker
from tests.platform.waiting import wait_until
from tests.pulumi_cli import PulumiCli, Report, platform_variables, resource

pytestmark = [pytest.mark.platform, pytest.mark.slow]

NAME = "small"

# Pulumi's sign for a value that is not known yet, in sdk/go/common/resource/plugin/rpc.go.
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"

BUILD = "docker.DockerBuildArgs(context='app', platform='linux/amd64')"


class Stack:
    """A stack with a file backend of its own, whose program has one image."""

    def __init__(self, folder: Path) -> None:
        variables = platform_variables()
        self.cli = PulumiCli(folder=folder / "pulumi", passphrase=NAME, variables=variables)
        self.folder = folder / "program"
        app = self.folder / "app"
        app.mkdir(parents=True)
        (self.folder / "Pulumi.yaml").write_text(f"name: {NAME}\nruntime: python\n")
        (app / "Dockerfile").write_text("FROM scratch\nARG FILE=data\nCOPY $FILE /data\n")
        for file in ("data", "other"):
            (app / file).write_text(file)
        self.cli.ask(self.folder, "stack", "init", NAME)

    def write(self, name: str, build: str = BUILD) -> None:
        """Write the program, with an image's name and arguments."""
        text = f"""
            import pulumi
            import pulumi_docker as docker

            image = docker.Image("image", image_name={name!r}, build={build})
            """
        (self.folder / "__main__.py").write_text(dedent(text))

    def preview(self, name: str, build: str = BUILD) -> Report:
        self.write(name, build)
        return self.cli.report(self.folder, "preview")

    def up(self, name: str, build: str = BUILD) -> Report:
        self.write(name, build)
        return self.cli.report(self.folder, "up", "--yes", "--skip-preview")

    def image(self) -> Any:
        """Return the image in the stack's state."""
        return resource(self.cli.state(NAME, NAME), "image")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path / "stack")


@pytest.fixture
def repository() -> Iterator[str]:
    """A repository that the registry does not have; Docker forgets its images at the end."""
    repository = f"{settings.REGISTRY}/small/{secrets.token_hex(6)}"
    yield repository
    if images := docker("image", "ls", "--quiet", repository).split():
        docker("image", "rm", "--force", *set(images))


def test_an_image_is_previewed_built_pushed_tagged_anew_and_kept_by_destroy(
    stack: Stack, repository: str
) -> None:
    name = f"{repository}:1"
    report = stack.preview(name)
    assert report.succeeded, report.messages
    step = report.step("image")
    assert (step.operation, step.outputs["imageName"]) == ("create", name)
    assert step.outputs.get("repoDigest", UNKNOWN) == UNKNOWN
    assert docker("image", "ls", "--quiet", name) == "", "a preview builds nothing"

    report = stack.up(name)
    assert report.succeeded, report.messages
    outputs = stack.image()["outputs"]
    assert outputs["repoDigest"] == by_digest(name)
    assert outputs["imageName"] == outputs["baseImageName"] == stack.image()["id"] == name
    assert outputs["platform"] == "linux/amd64"
    assert (outputs["context"], outputs["dockerfile"]) == ("app", "Dockerfile")
    assert len([line for line in report.messages.splitlines() if "COPY data /data" in line]) == 1
    assert stack.up(name).operations("image") == ["same"]

    report = stack.up(f"{repository}:2")
    assert report.operations("image") == ["update"]
    assert report.step("image").diffs == ["imageName"]
    assert stack.image()["id"] == name, "the identifier keeps the first name"
    report = stack.up(f"{repository}:2", BUILD.replace("(", "(args={'FILE': 'other'}, "))
    assert report.step("image").diffs == ["build"]
    assert stack.image()["outputs"]["repoDigest"] != outputs["repoDigest"]

    report = stack.cli.report(stack.folder, "destroy", "--yes", "--skip-preview")
    assert report.operations("image") == ["delete"]
    docker("image", "rm", "--force", name)
    docker("pull", "--quiet", outputs["repoDigest"])


def test_what_the_stand_in_does_not_serve_is_refused_by_name_before_anything_is_built(
    stack: Stack,
) -> None:
    build = "docker.DockerBuildArgs(context='app', target='wanted'), skip_push=True"
    report = stack.preview("small:1", build)
    assert not report.succeeded
    for named in ("build.target", "skipPush", "must be REGISTRY/REPOSITORY:TAG; got 'small:1'"):
        assert named in report.messages


def test_a_failed_build_or_push_is_told_and_the_old_state_is_kept(
    stack: Stack, repository: str, base_image: str
) -> None:
    stack.up(f"{repository}:1")
    before = stack.image()
    dockerfile = f"FROM {base_image}\nRUN echo the root cause; false\n"
    (stack.folder / "app" / "Dockerfile").write_text(dockerfile)

    report = stack.up(f"{repository}:2")

    assert not report.succeeded
    assert "executor failed running [/bin/sh -c echo the root cause; false]" in report.messages
    assert "exit code: 1" in report.messages
    assert stack.image()["inputs"] == before["inputs"], "the next up has to try again"
    (stack.folder / "app" / "Dockerfile").write_text("FROM scratch\nCOPY data /data\n")
    report = stack.up("localhost:9/small:1")
    assert "docker push failed:" in report.messages
    assert "connection refused" in report.messages
    assert stack.image()["outputs"] == before["outputs"]


def test_a_password_is_stored_as_a_secret_and_changes_no_image(
    stack: Stack, repository: str
) -> None:
    first, second = secrets.token_hex(8), secrets.token_hex(8)
    credentials = (
        f"{BUILD}, registry=docker.RegistryArgs(server={settings.REGISTRY!r}, username='user', "
        "password=pulumi.Output.secret({!r}))"
    )
    report = stack.up(f"{repository}:1", credentials.format(first))
    assert report.succeeded, report.messages
    assert first not in report.messages
    assert first not in stack.cli.state(NAME, NAME)
    report = stack.up(f"{repository}:1", credentials.format(second))
    assert report.operations("image") == ["same"], "credentials are changed often"


def test_an_interrupt_ends_a_build(stack: Stack, repository: str, base_image: str) -> None:
    mark = secrets.token_hex(6)
    dockerfile = f"FROM {base_image}\nRUN : {mark}; sleep 300; true\n"
    (stack.folder / "app" / "Dockerfile").write_text(dockerfile)

    def builds() -> bool:
        processes = psutil.process_iter(["cmdline"])
        return any(mark in " ".join(process.info["cmdline"] or ()) for process in processes)

    stack.write(f"{repository}:1")
    running = stack.cli.start(stack.folder, "up", "--yes", "--skip-preview")
    try:
        wait_until(builds, "the build has not begun", 60)
        running.send_signal(signal.SIGINT)
        running.wait(timeout=30)
        wait_until(lambda: not builds(), "the build has not ended", 60)
    finally:
        running.kill()
        running.wait()
    with pytest.raises(KeyError):
        stack.image()
