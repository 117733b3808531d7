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


def policy(name: str) -> dict[str, Any]:
    return dict(access().one(":NetworkPolicy", f"it-{name}").inputs["spec"])


def test_the_namespace_enforces_restricted_pods() -> None:
    labels = access().one(":Namespace").inputs["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_namespace_stays_with_the_weights_and_goes_with_them() -> None:
    gone = {"storage.deleteWeightsOnDestroy": True, "storage.protect": False}
    assert access().one(":Namespace").request.retainOnDelete
    assert not access(gone).one(":Namespace").request.retainOnDelete


def test_the_gate_may_read_and_have_a_failed_revision_made_anew() -> None:
    recording = access()
    *reading, renewing = recording.one(":Role").inputs["rules"]
    assert {verb for rule in reading for verb in rule["verbs"]} == {"get", "list", "watch"}
    assert renewing == {
        "apiGroups": ["serving.knative.dev"],
        "resources": ["revisions"],
        "verbs": ["delete"],
    }
    kinds = {it for rule in recording.one(":Role").inputs["rules"] for it in rule["resources"]}
    assert "secrets" not in kinds
    (subject,) = recording.one(":RoleBinding").inputs["subjects"]
    assert subject["name"] == "ft-serving-gate"
    assert not recording.of(":ClusterRole")


def test_a_registrys_login_is_a_pull_secret_of_every_account() -> None:
    recording = access({"image.username": "someone"}, "registryPassword")
    secret = recording.one(":Secret", "it-registry")
    content = json.loads(secret.inputs["stringData"][".dockerconfigjson"])
    both = base64.b64encode(f"someone:{SECRET}".encode()).decode()
    entry = {"username": "someone", "password": SECRET, "auth": both}
    assert content == {"auths": {"localhost:5000": entry}}
    for account in recording.of(":ServiceAccount"):
        assert account.inputs["imagePullSecrets"] == [{"name": "it-registry"}]


def test_without_a_login_there_is_no_pull_secret() -> None:
    assert [it.name for it in access().of(":Secret")] == ["it-hub"]


def test_what_is_secret_is_sent_as_a_secret() -> None:
    recording = access({"image.username": "someone"}, "registryPassword")
    for secret in recording.of(":Secret"):
        sent = json_format.MessageToDict(secret.request.object)["stringData"]
        assert MARK in json.dumps(sent), secret
    others = [it for it in recording.resources if not it.type.endswith(":Secret")]
    assert all(SECRET not in str(it.request) for it in others)


def test_new_credentials_are_a_new_secret_beside_the_old_one() -> None:
    assert "name" not in access().one(":Secret").request.object["metadata"]


def test_the_hubs_token_is_for_jobs_alone() -> None:
    outputs = access().outputs["it"]
    assert outputs["weights"]["hub_secret"] == outputs["gate"]["hub_secret"] == "it-hub"
    assert outputs["server"].get("hub_secret") is None


def test_the_server_lets_the_ingress_and_its_namespace_in_and_nothing_out() -> None:
    server = policy("server")
    assert server["podSelector"] == {"matchLabels": {"app.kubernetes.io/component": "server"}}
    assert server["policyTypes"] == ["Ingress", "Egress"]
    assert server["egress"] == []
    (rule,) = server["ingress"]
    ingress, here = rule["from"]
    (expression,) = ingress["namespaceSelector"]["matchExpressions"]
    assert "knative-serving" in expression["values"]
    assert here == {"podSelector": {}}


def test_the_download_is_let_out_to_names_and_the_hub() -> None:
    weights = policy("weights")
    assert weights["ingress"] == []
    names, hub = weights["egress"]
    assert {it["port"] for it in names["ports"]} == {53, 1053, 5353}
    assert hub == {"ports": [{"port": 443, "protocol": "TCP"}]}


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


def test_a_script_needs_the_address_and_the_host_alone() -> None:
    stack = config(CPU, {"cluster": {"ingressAddress": "http://127.0.0.1:8080"}})
    assert address("http://it.models.localhost", stack) == "http://127.0.0.1:8080"
    assert host("http://it.models.localhost") == "it.models.localhost"
    assert address("https://it.example.com:8443", config(CPU)) == "https://it.example.com:8443"
    assert host("https://it.example.com:8443") == "it.example.com:8443"
