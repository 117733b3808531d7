"""Building and pushing, with a docker command line that notes how it was called."""

import dataclasses
from pathlib import Path

import pytest

from local_platform.plugins.docker.build import arguments, failure, make
from local_platform.plugins.docker.commands import Docker
from local_platform.plugins.docker.credentials import Credentials
from local_platform.plugins.docker.errors import BuildError, PushError
from local_platform.plugins.docker.inputs import Build, Image, Registry
from local_platform.plugins.values import Value
from tests.local_platform.plugins.docker_command import DockerCommand, install

DIGEST = "sha256:" + "12" * 32
IMAGE = Image(
    name="localhost:5000/a:1",
    build=Build(context="app", dockerfile="app/docker/Dockerfile", platform="linux/amd64"),
    registry=Registry(),
    skip_push=False,
    build_on_preview=False,
)
WITH_USER = dataclasses.replace(IMAGE, registry=Registry(username="user", password="hunter2"))

# What Docker 20.10 writes of a failed build, in part.
FAILED = """#1 [internal] load build definition from Dockerfile
#4 [1/2] COPY sh /bin/sh
#4 DONE 0.0s
#5 [2/2] RUN exit 3
#5 sha256:56378b7b37784b69c7f01ff3b993e2bf11e2bbb0d669ec68e0edd1401da37495
#5 0.251 the root cause
#5 ERROR: executor failed running [/bin/sh -c exit 3]: exit code: 3
------
> [2/2] RUN exit 3:
#5 0.251 the root cause
------
executor failed running [/bin/sh -c exit 3]: exit code: 3"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerCommand:
    monkeypatch.setenv("HOME", str(tmp_path))
    command = install(tmp_path / "bin", monkeypatch)
    command.answer("push", f"a007a11e0389: Pushed\n1: digest: {DIGEST} size: 940")
    command.answer("image", "sha256:local")
    return command


def made(image: Image, *, push: bool = True, said: list[str] | None = None) -> dict[str, Value]:
    say = said.append if said is not None else lambda _: None
    return make(image, Docker(None), credentials={}, push=push, say=say)


def test_a_pushed_image_is_pinned_by_the_digest_that_the_push_tells(docker: DockerCommand) -> None:
    assert made(IMAGE) == {
        "baseImageName": "localhost:5000/a:1",
        "context": "app",
        "dockerfile": "docker/Dockerfile",
        "imageName": "localhost:5000/a:1",
        "platform": "linux/amd64",
        "registryServer": "",
        "repoDigest": f"localhost:5000/a@{DIGEST}",
    }


def test_an_image_that_is_not_pushed_is_pinned_by_its_local_identifier(
    docker: DockerCommand,
) -> None:
    assert made(IMAGE, push=False)["repoDigest"] == "sha256:local"
    assert docker.calls("push") == []


def test_every_input_becomes_an_argument() -> None:
    build = Build(
        context="app",
        dockerfile="Dockerfile",
        platform="linux/arm64",
        target="final",
        network="host",
        args={"A": "1", "B": "x y"},
        add_hosts=("a:1.2.3.4",),
        cache_from=("localhost:5000/a:cache",),
    )
    assert arguments("localhost:5000/a:1", build) == [
        "build",
        "--tag",
        "localhost:5000/a:1",
        "--file",
        "Dockerfile",
        "--platform",
        "linux/arm64",
        "--target",
        "final",
        "--network",
        "host",
        "--build-arg=A=1",
        "--build-arg=B=x y",
        "--add-host=a:1.2.3.4",
        "--cache-from=localhost:5000/a:cache",
        "--",
        "app",
    ]


def test_buildkit_builds_unless_the_first_builder_is_asked_for(docker: DockerCommand) -> None:
    made(IMAGE)
    made(dataclasses.replace(IMAGE, build=dataclasses.replace(IMAGE.build, buildkit=False)))
    assert [call["buildkit"] for call in docker.calls("build")] == ["1", "0"]


def test_credentials_are_in_a_private_folder_and_in_no_argument(docker: DockerCommand) -> None:
    made(WITH_USER)
    for command in ("build", "push"):
        (call,) = docker.calls(command)
        assert call["mode"] == 0o700
        # base64 of "user:hunter2"
        assert call["written"]["auths"] == {"localhost:5000": {"auth": "dXNlcjpodW50ZXIy"}}
        assert "hunter2" not in str(call["arguments"])
        assert not Path(call["config"]).exists(), "it lives as long as the build"


def test_the_images_credentials_go_before_the_providers(docker: DockerCommand) -> None:
    provider = {
        key: Credentials(username="other", password="other") for key in ("localhost:5000", "b.test")
    }
    make(WITH_USER, Docker(None), credentials=provider, push=True, say=lambda _: None)
    # base64 of "other:other" and of "user:hunter2"
    assert docker.calls("push")[0]["written"]["auths"] == {
        "b.test": {"auth": "b3RoZXI6b3RoZXI="},
        "localhost:5000": {"auth": "dXNlcjpodW50ZXIy"},
    }


def test_credentials_go_to_the_server_that_they_are_given_for(docker: DockerCommand) -> None:
    registry = Registry(server="https://c.test", username="user", password="hunter2")
    made(dataclasses.replace(IMAGE, registry=registry))
    assert list(docker.calls("push")[0]["written"]["auths"]) == ["c.test"]


def test_an_image_that_asks_no_registry_needs_no_server(docker: DockerCommand) -> None:
    image = dataclasses.replace(WITH_USER, name="a:1", skip_push=True)
    assert made(image, push=False)["imageName"] == "a:1"
    assert docker.calls("build")[0]["config"] is None


def test_a_missing_cache_is_told_and_does_not_matter(docker: DockerCommand) -> None:
    docker.answer("pull", "manifest unknown", status=1)
    build = dataclasses.replace(IMAGE.build, cache_from=("localhost:5000/a:cache",))
    said: list[str] = []
    made(dataclasses.replace(IMAGE, build=build), said=said)
    assert "cacheFrom image localhost:5000/a:cache not available: manifest unknown" in said


def test_output_is_said_without_the_digests_of_steps(docker: DockerCommand) -> None:
    docker.answer("build", f"#1 [1/1] COPY a /\n#1 {DIGEST}\n#1 DONE 0.0s")
    said: list[str] = []
    made(IMAGE, said=said)
    assert said[:2] == ["#1 [1/1] COPY a /", "#1 DONE 0.0s"]


def test_a_failed_build_pushes_nothing(docker: DockerCommand) -> None:
    docker.answer("build", FAILED, status=1)
    with pytest.raises(BuildError, match="error reading build output: executor failed running"):
        made(IMAGE)
    assert docker.calls("push") == []


def test_a_failed_step_is_told_with_its_reason_first_and_its_own_output() -> None:
    assert failure(FAILED.splitlines()) == (
        "executor failed running [/bin/sh -c exit 3]: exit code: 3\nthe root cause"
    )


def test_a_build_that_fails_before_its_steps_is_told_as_docker_does() -> None:
    lines = ["failed to solve with frontend dockerfile.v0: dockerfile parse error line 1"]
    assert failure(lines) == lines[0]


def test_a_failed_push_is_told(docker: DockerCommand) -> None:
    docker.answer("push", "The push refers to …\nconnection refused", status=1)
    with pytest.raises(PushError, match=r"^error reading push output: connection refused"):
        made(IMAGE)


def test_a_push_without_a_digest_is_told(docker: DockerCommand) -> None:
    docker.answer("push", "1: done")
    with pytest.raises(PushError, match="told no digest"):
        made(IMAGE)
