"""The inputs of an image: defaults, and all that is wrong at once."""

from pathlib import Path
from typing import Any

import pytest

from local_platform.plugins.docker.inputs import Build, Image, Registry, complete, image
from local_platform.plugins.values import UNKNOWN, Secret

NAME = "localhost:5000/a:1"


@pytest.fixture(autouse=True)
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program's folder, in which the engine starts plugins."""
    (tmp_path / "app").mkdir()
    for folder in (tmp_path, tmp_path / "app"):
        (folder / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def completed(**inputs: Any) -> dict[str, Any]:
    values, failures = complete({"imageName": NAME, **inputs})
    assert failures == []
    return values


def problems(inputs: dict[str, Any]) -> dict[str, str]:
    return {failure.path: failure.reason for failure in complete(inputs)[1]}


def test_a_name_alone_builds_the_programs_folder_and_pushes() -> None:
    values = completed()
    digest = values["build"].pop("contextDigest")
    assert len(digest) == 64
    assert values == {
        "imageName": NAME,
        "skipPush": False,
        "buildOnPreview": False,
        "build": {"context": ".", "dockerfile": "Dockerfile", "platform": "linux/amd64"},
    }


def test_the_dockerfile_is_the_contexts_own_by_default() -> None:
    assert completed(build={"context": "app"})["build"]["dockerfile"] == "app/Dockerfile"


def test_absolute_paths_are_taken(program: Path) -> None:
    build = {"context": str(program / "app"), "dockerfile": str(program / "Dockerfile")}
    assert completed(build=build)["build"]["context"] == build["context"]


def test_a_changed_file_changes_the_inputs(program: Path) -> None:
    before = completed(build={"context": "app"})
    (program / "app" / "data").write_text("")
    assert completed(build={"context": "app"}) != before


def test_a_password_in_clear_becomes_a_secret() -> None:
    values = completed(registry={"username": "user", "password": "hunter2"})
    assert values["registry"] == {"username": "user", "password": Secret("hunter2")}


def test_secrets_stay_secrets() -> None:
    values = completed(
        imageName=Secret(NAME),
        build={"args": {"TOKEN": Secret("t")}},
        registry=Secret({"username": "user", "password": "hunter2"}),
    )
    assert values["imageName"] == Secret(NAME)
    assert values["build"]["args"] == {"TOKEN": Secret("t")}
    assert values["registry"] == Secret({"username": "user", "password": "hunter2"})


@pytest.mark.parametrize(
    "build",
    [UNKNOWN, {"context": UNKNOWN}, {"dockerfile": UNKNOWN}, {"context": UNKNOWN, "target": "t"}],
)
def test_a_context_that_is_not_known_yet_has_no_digest(build: Any) -> None:
    values = completed(build=build, imageName=UNKNOWN)
    assert values["build"] is UNKNOWN or "contextDigest" not in values["build"]


def test_unknown_arguments_do_not_keep_the_digest_away() -> None:
    assert "contextDigest" in completed(build={"args": {"A": UNKNOWN}})["build"]


def test_every_problem_is_told_with_its_path() -> None:
    found = problems(
        {
            "skipPush": "yes",
            "tag": "1",
            "registry": "localhost",
            "build": {
                "args": {"A": 1},
                "builderVersion": "BuilderV2",
                "cacheFrom": {"images": "a"},
                "secrets": {},
            },
        }
    )
    assert sorted(found) == [
        "build.args",
        "build.builderVersion",
        "build.cacheFrom.images",
        "build.secrets",
        "imageName",
        "registry",
        "skipPush",
        "tag",
    ]
    assert found["build.builderVersion"] == 'must be "BuilderBuildKit" or "BuilderV1"'


def test_a_missing_context_and_a_short_name_are_both_told() -> None:
    found = problems({"imageName": "a:1", "build": {"context": "nowhere"}})
    assert "'nowhere' is not a folder" in found["build.context"]
    assert "repository name must be canonical" in found["imageName"]


def test_a_dockerfile_named_relative_to_its_context_is_told_with_what_to_write() -> None:
    (Path("app") / "Other").write_text("FROM scratch\n")
    found = problems({"imageName": NAME, "build": {"context": "app", "dockerfile": "Other"}})
    assert "use 'app/Other'" in found["build.dockerfile"]


def test_a_malformed_ignore_file_is_told() -> None:
    Path("app/.dockerignore").write_text("!\n")
    found = problems({"imageName": NAME, "build": {"context": "app"}})
    assert ".dockerignore, line 1" in found["build.context"]


def test_an_image_that_is_not_pushed_needs_no_registry() -> None:
    assert problems({"imageName": "a:1", "skipPush": True}) == {}
    found = problems(
        {"imageName": "a:1", "skipPush": True, "build": {"cacheFrom": {"images": ["b"]}}}
    )
    assert sorted(found) == ["build.cacheFrom.images", "imageName"], (
        "the real plugin takes the cache's credentials from the image's registry"
    )


def test_an_image_has_all_that_its_inputs_say() -> None:
    values = completed(
        skipPush=True,
        build={
            "context": "app",
            "builderVersion": "BuilderV1",
            "target": "final",
            "network": "host",
            "platform": "linux/arm64",
            "args": {"A": Secret("1")},
            "addHosts": ["a:1.2.3.4"],
            "cacheFrom": {"images": ["localhost:5000/a:cache"]},
        },
        registry={"server": "localhost:5000", "username": "user", "password": "hunter2"},
    )
    assert image(values) == Image(
        name=NAME,
        build=Build(
            context="app",
            dockerfile="app/Dockerfile",
            platform="linux/arm64",
            buildkit=False,
            target="final",
            network="host",
            args={"A": "1"},
            add_hosts=("a:1.2.3.4",),
            cache_from=("localhost:5000/a:cache",),
        ),
        registry=Registry(server="localhost:5000", username="user", password="hunter2"),
        skip_push=True,
        build_on_preview=False,
    )
    assert "hunter2" not in repr(image(values))
