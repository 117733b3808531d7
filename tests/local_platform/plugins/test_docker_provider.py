"""The docker plugin's answers to calls of the engine."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from local_platform.plugins.docker.errors import CancelledError, ImportImageError, ResourceTypeError
from local_platform.plugins.docker.provider import IMAGE, DockerPlugin
from local_platform.plugins.engine import Engine
from local_platform.plugins.values import UNKNOWN, Secret, from_struct, to_struct
from tests.local_platform.plugins.docker_command import DockerCommand, install

NAME = "localhost:5000/a:1"
DIGEST = "sha256:" + "12" * 32


class Listener(Engine):
    """Keeps what the user would see."""

    def __init__(self) -> None:
        self.statuses: list[str] = []
        self.warnings: list[str] = []

    def status(self, urn: str, message: str) -> None:
        self.statuses.append(message)

    def warn(self, urn: str, message: str) -> None:
        self.warnings.append(message)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DockerCommand:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("Dockerfile").write_text("FROM scratch\n")
    Path(".dockerignore").write_text("*\n!data\n")
    command = install(tmp_path / "bin", monkeypatch)
    command.answer("build", "#1 [1/1] COPY data /data")
    command.answer("push", f"1: digest: {DIGEST} size: 940")
    command.answer("image", "sha256:local")
    return command


@pytest.fixture
def plugin(docker: DockerCommand) -> DockerPlugin:
    return DockerPlugin(Listener())


def checked(plugin: DockerPlugin, **inputs: Any) -> dict[str, Any]:
    response = plugin.check(
        provider_pb2.CheckRequest(type=IMAGE, news=to_struct({"imageName": NAME, **inputs}))
    )
    assert not response.failures
    return from_struct(response.inputs)


def created(plugin: DockerPlugin, inputs: Mapping[str, Any], *, preview: bool = False) -> Any:
    request = provider_pb2.CreateRequest(properties=to_struct(inputs), preview=preview)
    return plugin.create(request)


def changes(plugin: DockerPlugin, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    response = plugin.diff(provider_pb2.DiffRequest(old_inputs=to_struct(old), news=to_struct(new)))
    assert not response.replaces, "an image is never replaced"
    some = response.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert some == bool(response.diffs) == bool(response.detailedDiff)
    return list(response.diffs)


def configure(plugin: DockerPlugin, values: Mapping[str, Any]) -> list[str]:
    """Sets the provider's settings as the engine does; the paths of what is refused."""
    response = plugin.check_config(provider_pb2.CheckRequest(news=to_struct(values)))
    plugin.configure(provider_pb2.ConfigureRequest(args=response.inputs))
    return [failure.property for failure in response.failures]


def test_it_answers_for_the_version_of_the_sdk(plugin: DockerPlugin) -> None:
    assert plugin.get_plugin_info(empty_pb2.Empty()).version == version("pulumi-docker")


def test_any_other_resource_is_refused_by_name(plugin: DockerPlugin) -> None:
    with pytest.raises(ResourceTypeError, match="docker:index/container:Container is not served"):
        plugin.check(provider_pb2.CheckRequest(type="docker:index/container:Container"))


def test_every_wrong_input_is_a_failure_of_its_own(plugin: DockerPlugin) -> None:
    news = to_struct({"imageName": "a:1", "build": {"context": "nowhere"}})
    response = plugin.check(provider_pb2.CheckRequest(type=IMAGE, news=news))
    assert [failure.property for failure in response.failures] == ["build.context", "imageName"]


def test_an_image_is_created_under_its_name(plugin: DockerPlugin) -> None:
    response = created(plugin, checked(plugin))
    assert response.id == NAME
    assert from_struct(response.properties)["repoDigest"] == f"localhost:5000/a@{DIGEST}"


def test_the_output_of_build_and_push_is_shown(docker: DockerCommand) -> None:
    listener = Listener()
    plugin = DockerPlugin(listener)
    created(plugin, checked(plugin))
    assert listener.statuses[0] == "#1 [1/1] COPY data /data"
    assert listener.statuses[-1].startswith("1: digest: ")


def test_a_preview_runs_nothing_and_knows_the_name(
    plugin: DockerPlugin, docker: DockerCommand
) -> None:
    response = created(plugin, checked(plugin), preview=True)
    outputs = from_struct(response.properties)
    assert outputs.pop("imageName") == NAME
    assert set(outputs.values()) == {UNKNOWN}
    assert sorted(outputs) == [
        "baseImageName",
        "context",
        "dockerfile",
        "platform",
        "registryServer",
        "repoDigest",
    ]
    assert docker.calls("build") == []


def test_a_preview_with_unknown_inputs_builds_nothing_and_says_so(docker: DockerCommand) -> None:
    listener = Listener()
    plugin = DockerPlugin(listener)
    inputs = checked(plugin, buildOnPreview=True, build={"args": {"A": UNKNOWN}})
    created(plugin, inputs, preview=True)
    assert docker.calls("build") == []
    assert listener.warnings == ["not built on preview: some of its inputs are not known yet"]


def test_a_user_without_a_password_is_warned_about(docker: DockerCommand) -> None:
    listener = Listener()
    plugin = DockerPlugin(listener)
    created(plugin, checked(plugin, registry={"username": "user"}))
    assert listener.warnings == [
        "registry: username and password go together; using Docker's own credentials"
    ]


def test_a_secret_name_stays_secret_in_all_that_tells_it(plugin: DockerPlugin) -> None:
    outputs = from_struct(created(plugin, checked(plugin, imageName=Secret(NAME))).properties)
    for output in ("imageName", "baseImageName", "repoDigest"):
        assert isinstance(outputs[output], Secret)


def test_an_update_builds_again(plugin: DockerPlugin, docker: DockerCommand) -> None:
    request = provider_pb2.UpdateRequest(id="old", news=to_struct(checked(plugin)))
    outputs = from_struct(plugin.update(request).properties)
    assert outputs["repoDigest"] == f"localhost:5000/a@{DIGEST}"
    assert len(docker.calls("build")) == 1


def test_nothing_changed_is_no_difference(plugin: DockerPlugin) -> None:
    assert changes(plugin, checked(plugin), checked(plugin)) == []


def test_changed_files_are_a_difference_of_build_alone(plugin: DockerPlugin) -> None:
    old = checked(plugin)
    Path("data").write_text("new")
    assert changes(plugin, old, checked(plugin)) == ["build"]


def test_another_name_is_a_difference_of_the_name_alone(plugin: DockerPlugin) -> None:
    new = checked(plugin, imageName="localhost:5000/a:2")
    assert changes(plugin, checked(plugin), new) == ["imageName"]


def test_credentials_make_no_difference_and_a_server_does(plugin: DockerPlugin) -> None:
    old = checked(plugin)
    new = checked(plugin, registry={"username": "user", "password": "hunter2"})
    assert changes(plugin, old, new) == []
    other = checked(plugin, registry={"server": "a.test"})
    assert changes(plugin, new, other) == ["registry"]
    assert changes(plugin, other, old) == ["registry"]


def test_what_is_not_known_yet_is_a_difference(plugin: DockerPlugin) -> None:
    new = checked(plugin, build={"args": {"A": UNKNOWN}})
    assert changes(plugin, checked(plugin), new) == ["build"]


def test_a_refresh_gives_the_state_back(plugin: DockerPlugin, docker: DockerCommand) -> None:
    properties, inputs = to_struct({"repoDigest": "a"}), to_struct({"imageName": NAME})
    request = provider_pb2.ReadRequest(id=NAME, properties=properties, inputs=inputs)
    response = plugin.read(request)
    assert (response.id, response.properties, response.inputs) == (NAME, properties, inputs)
    assert not (docker.folder / "calls").exists()


def test_an_import_is_refused(plugin: DockerPlugin) -> None:
    with pytest.raises(ImportImageError, match=NAME):
        plugin.read(provider_pb2.ReadRequest(id=NAME))


def test_a_delete_runs_nothing(plugin: DockerPlugin, docker: DockerCommand) -> None:
    plugin.delete(provider_pb2.DeleteRequest(id=NAME))
    assert not (docker.folder / "calls").exists()


def test_settings_choose_the_daemon_and_give_credentials(
    plugin: DockerPlugin, docker: DockerCommand
) -> None:
    registries = [{"address": "a.test", "username": "user", "password": Secret("hunter2")}]
    assert configure(plugin, {"host": "unix:///a.sock", "registryAuth": registries}) == []
    created(plugin, checked(plugin))
    (call,) = docker.calls("push")
    assert call["host"] == "unix:///a.sock"
    # base64 of "user:hunter2"
    assert call["written"]["auths"] == {"a.test": {"auth": "dXNlcjpodW50ZXIy"}}


def test_credentials_come_as_json_too_and_become_secrets(
    plugin: DockerPlugin, docker: DockerCommand
) -> None:
    text = json.dumps([{"address": "a.test", "username": "user", "password": "hunter2"}])
    news = to_struct({"registryAuth": text})
    response = plugin.check_config(provider_pb2.CheckRequest(news=news))
    assert from_struct(response.inputs) == {"registryAuth": Secret(text)}
    assert configure(plugin, {"registryAuth": text}) == []
    created(plugin, checked(plugin))
    assert list(docker.calls("push")[0]["written"]["auths"]) == ["a.test"]


def test_settings_that_are_not_served_are_refused_by_name(plugin: DockerPlugin) -> None:
    response = plugin.check_config(
        provider_pb2.CheckRequest(
            news=to_struct(
                {
                    "context": "other",
                    "certPath": "/certificates",
                    "registryAuth": [{"address": "a.test", "configFile": "config.json"}],
                }
            )
        )
    )
    assert [failure.property for failure in response.failures] == [
        "certPath",
        "context",
        "registryAuth[0]",
    ]


@pytest.mark.parametrize(
    "registries", [UNKNOWN, [{"address": "a.test", "username": "user", "password": UNKNOWN}]]
)
def test_credentials_may_be_unknown_in_a_preview(plugin: DockerPlugin, registries: Any) -> None:
    assert configure(plugin, {"host": UNKNOWN, "registryAuth": registries}) == []


@pytest.mark.parametrize("text", ["{", "{}", '"a"'])
def test_credentials_that_are_no_list_are_refused(plugin: DockerPlugin, text: str) -> None:
    news = to_struct({"registryAuth": text})
    response = plugin.check_config(provider_pb2.CheckRequest(news=news))
    assert [failure.property for failure in response.failures] == ["registryAuth"]


def test_a_cancel_lets_no_build_start(plugin: DockerPlugin, docker: DockerCommand) -> None:
    inputs = checked(plugin)
    plugin.cancel(empty_pb2.Empty())
    with pytest.raises(CancelledError):
        created(plugin, inputs)
    assert docker.calls("build") == []
