"""The namespace, who may do what in it, and secrets."""

import base64
import json
from typing import Any

from google.protobuf import json_format

from components.smoke_test import address, command, host
from operations.recording.recorder import Recording
from tests.components.program import SECRET, made
from tests.stacks.documents import CPU, config

# Pulumi's mark of a secret value, in sdk/go/common/resource/sig.
MARK = "1b47061264138c4ac30d75fd1eb44270"


def access(changes: dict[str, Any] | None = None, *secrets: str) -> Recording:
    return made("Access", config(CPU, changes, *secrets))


def test_the_namespace_stays_with_the_weights_and_goes_with_them() -> None:
    gone = {"storage.deleteWeightsOnDestroy": True, "storage.protect": False}
    assert access().one(":Namespace").request.retainOnDelete
    assert not access(gone).one(":Namespace").request.retainOnDelete


def test_a_registrys_login_is_a_pull_secret_of_every_account() -> None:
    recording = access({"image.username": "someone"}, "registryPassword")
    secret = recording.one(":Secret", "it-registry")
    content = json.loads(secret.inputs["stringData"][".dockerconfigjson"])
    both = base64.b64encode(f"someone:{SECRET}".encode()).decode()
    entry = {"username": "someone", "password": SECRET, "auth": both}
    assert content == {"auths": {"localhost:5000": entry}}
    for account in recording.of(":ServiceAccount"):
        assert account.inputs["imagePullSecrets"] == [{"name": "it-registry"}]


def test_what_is_secret_is_sent_as_a_secret() -> None:
    recording = access({"image.username": "someone"}, "registryPassword")
    for secret in recording.of(":Secret"):
        sent = json_format.MessageToDict(secret.request.object)["stringData"]
        assert MARK in json.dumps(sent), secret
    others = [it for it in recording.resources if not it.type.endswith(":Secret")]
    assert all(SECRET not in str(it.request) for it in others)


def test_only_jobs_get_the_hubs_token() -> None:
    outputs = access().outputs["it"]
    assert outputs["weights"]["hub_secret"] == outputs["gate"]["hub_secret"] == "it-hub"
    assert outputs["server"].get("hub_secret") is None


def test_the_command_to_call_is_what_a_shell_takes() -> None:
    stack = config(CPU, {"cluster": {"ingressAddress": "http://127.0.0.1:8080"}})
    assert command("http://it.models.localhost", stack) == (
        "ft-serving generate --url http://127.0.0.1:8080 --host-header it.models.localhost "
        "--wait 660 --tokenizer tiny-gptj@47e169305d2e8376be1d31e765533382721b2cc1 "
        "--prompt 'Mary has a little lamb.'"
    )
    assert command("https://it.example.com", config(CPU, {"serving.protocol": "grpc"})).startswith(
        "ft-serving generate --url https://it.example.com --protocol grpc --wait 660 --tokenizer"
    )


def test_a_service_that_is_not_public_is_called_by_its_name_in_the_cluster() -> None:
    stack = config(
        CPU,
        {"cluster": {"ingressAddress": "http://127.0.0.1:8080"}, "serving.public": False},
    )
    inside = "http://it.models.svc.cluster.local"
    assert address(inside, stack) == inside
    assert "--host-header" not in command(inside, stack)


def test_a_script_needs_only_the_address_and_the_host() -> None:
    stack = config(CPU, {"cluster": {"ingressAddress": "http://127.0.0.1:8080"}})
    assert address("http://it.models.localhost", stack) == "http://127.0.0.1:8080"
    assert host("http://it.models.localhost") == "it.models.localhost"
    assert address("https://it.example.com:8443", config(CPU)) == "https://it.example.com:8443"
    assert host("https://it.example.com:8443") == "it.example.com:8443"
