"""The objects of the add-ons, ours and upstream's with our changes."""

import base64
import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_platform import settings
from local_platform.addons import knative, kserve
from local_platform.addons.manifests import (
    Manifest,
    ObjectName,
    identity,
    only,
    own,
    without_descriptions,
)
from local_platform.errors import PlatformError
from local_platform.node import certificates
from local_platform.node.certificates import AUTHORITY, KSERVE_WEBHOOK

OWN_IMAGES = {
    "COREDNS_IMAGE": "registry/coredns@sha256:1",
    "TRAEFIK_IMAGE": "registry/traefik@sha256:2",
}
IMAGES = {name: f"registry/{name}@sha256:1" for name in knative.PROGRAMS}


def ours() -> list[Manifest]:
    return [one for name in ("platform", "coredns", "traefik") for one in own(name, OWN_IMAGES)]


def named(kind: str, name: str, namespace: str | None = None, **fields: Any) -> Manifest:
    place = {} if namespace is None else {"namespace": namespace}
    return {"kind": kind, "metadata": {"name": name, **place}, **fields}


def test_our_containers_have_no_rights_that_they_do_not_need() -> None:
    pods = [one["spec"]["template"]["spec"] for one in ours() if one["kind"] == "Deployment"]
    assert [pod["containers"][0]["image"] for pod in pods] == list(OWN_IMAGES.values())
    for pod in pods:
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


def test_our_objects_have_the_settings_and_an_identity_each() -> None:
    identities = [identity(manifest) for manifest in ours()]
    assert len(identities) == len(set(identities))
    dns = only(ours(), ObjectName("Service", settings.NAMESPACE, "coredns"))
    assert dns["spec"]["clusterIP"] == settings.CLUSTER_DNS
    hub = only(ours(), ObjectName("EndpointSlice", settings.NAMESPACE, "model-hub"))
    assert hub["ports"][0]["port"] == settings.HUB_PORT
    assert hub["endpoints"][0]["addresses"] == [settings.NODE_ADDRESS]
    with pytest.raises(PlatformError, match="no longer hold ConfigMap there/gone"):
        only(ours(), ObjectName("ConfigMap", "there", "gone"))


def test_a_schemas_prose_is_dropped_and_a_property_of_that_name_is_kept() -> None:
    prose = {"description": "prose"}
    inner = {"properties": {"description": {"type": "string", **prose}, "properties": prose}}
    bare = without_descriptions({"metadata": prose, "spec": {**prose, **inner, "list": [prose]}})
    assert bare == {
        "metadata": prose,
        "spec": {
            "properties": {"description": {"type": "string"}, "properties": {}},
            "list": [{}],
        },
    }


def knative_program(program: str) -> Manifest:
    container = {
        "name": program,
        "image": f"ko://knative.dev/serving/cmd/{program}",
        "env": [{"name": "GOGC", "value": "500"}],
        "readinessProbe": {"periodSeconds": 10},
        "resources": {"requests": {"cpu": "300m"}},
    }
    pod = {"affinity": {"podAntiAffinity": {}}, "containers": [container]}
    return named("Deployment", program, "knative-serving", spec={"template": {"spec": pod}})


@pytest.fixture
def knative_folder(tmp_path: Path) -> Path:
    """The folder of Knative's modules, with a few objects of theirs."""
    configurations = ("autoscaler", "deployment", "domain", "features", "network", "observability")
    example = {"_example": "# documentation"}
    files: dict[str, list[Manifest]] = {
        "serving/config/core": [
            *(knative_program(name) for name in knative.PROGRAMS if name != "queue"),
            named("HorizontalPodAutoscaler", "activator"),
            named("Image", "queue-proxy"),
        ],
        "networking/config": [
            named("ConfigMap", f"config-{name}", "knative-serving", data=dict(example))
            for name in configurations
        ],
    }
    for name, documents in files.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "all.yaml").write_text(yaml.safe_dump_all(documents))
    return tmp_path


def test_knatives_programs_run_from_our_images_with_little_memory_and_no_election(
    knative_folder: Path,
) -> None:
    found = knative.manifests(knative_folder, IMAGES)
    environment = {"GOMEMLIMIT": "64MiB", "STATEFUL_CONTROLLER_ORDINAL": "autoscaler-0",
                   "STATEFUL_SERVICE_NAME": "autoscaler"}  # fmt: skip
    for program, wanted in (
        ("autoscaler", environment),
        ("activator", {"GOMEMLIMIT": "64MiB"}),
    ):
        deployment = only(found, ObjectName("Deployment", "knative-serving", program))
        pod = deployment["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert container["image"] == IMAGES[program]
        assert {one["name"]: one["value"] for one in container["env"]} == wanted
        assert container["resources"]["requests"] == {"cpu": "10m", "memory": "64Mi"}
        assert "affinity" not in pod
    assert {one["kind"] for one in found} == {"ConfigMap", "Deployment"}
    data = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    assert data["config-network"] == {"ingress-class": "traefik.ingress.networking.knative.dev"}
    assert data["config-deployment"]["queue-sidecar-image"] == IMAGES["queue"]
    assert "localhost:5000" in data["config-deployment"]["registries-skipping-tag-resolving"]
    assert data["config-features"]["kubernetes.podspec-persistent-volume-claim"] == "enabled"


def test_a_knative_program_that_is_not_built_is_named(knative_folder: Path) -> None:
    new = knative_folder / "networking/config/new.yaml"
    new.write_text(yaml.safe_dump(knative_program("net-new")))
    with pytest.raises(PlatformError, match="program that is not built: net-new"):
        knative.manifests(knative_folder, IMAGES)


KSERVE = [
    named(
        "Deployment",
        "kserve-controller-manager",
        "kserve",
        spec={
            "template": {
                "metadata": {},
                "spec": {
                    "containers": [
                        {"name": "manager", "env": [], "readinessProbe": {}},
                        {"name": "kube-rbac-proxy"},
                    ]
                },
            }
        },
    ),
    named("ValidatingWebhookConfiguration", "hooks", webhooks=[{"clientConfig": {}}]),
    named("Certificate", "serving-cert", "kserve"),
    named("ClusterRole", "kserve-proxy-role"),
    named(
        "ConfigMap",
        "inferenceservice-config",
        "kserve",
        data={
            "deploy": '{"defaultDeploymentMode": "Serverless"}',
            "ingress": '{"ingressDomain": "example.com", "urlScheme": "http"}',
            "inferenceService": "{}",
            "logger": "{}",
        },
    ),
]


def test_kserves_controller_runs_with_a_certificate_of_the_nodes_authority(
    certificate_folder: Path,
) -> None:
    def fitted() -> dict[str, Manifest]:
        certificates.ensure()
        found = kserve.manifests(KSERVE, "registry/kserve@sha256:1")
        return {one["kind"]: one for one in found}

    found = fitted()
    assert set(found) == {
        "Namespace", "Secret", "Deployment", "ValidatingWebhookConfiguration", "ConfigMap",
    }  # fmt: skip
    template = found["Deployment"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert container["image"] == "registry/kserve@sha256:1"
    assert "cpu" not in container["resources"]["limits"], "a tenth of a core starts in a minute"
    (hook,) = found["ValidatingWebhookConfiguration"]["webhooks"]
    authority = base64.b64decode(hook["clientConfig"]["caBundle"])
    assert authority == AUTHORITY.certificate.read_bytes()
    data = found["Secret"]["data"]
    assert base64.b64decode(data["tls.crt"]) == KSERVE_WEBHOOK.certificate.read_bytes()
    assert base64.b64decode(data["tls.key"]) == KSERVE_WEBHOOK.key.read_bytes()
    configuration = {name: json.loads(text) for name, text in found["ConfigMap"]["data"].items()}
    assert configuration["ingress"] == {
        "disableIstioVirtualHost": True,
        "ingressClassName": "traefik",
        "ingressDomain": "localhost",
        "urlScheme": "http",
    }
    assert configuration["deploy"] == {"defaultDeploymentMode": "Knative"}

    KSERVE_WEBHOOK.certificate.unlink()
    again = fitted()["Deployment"]["spec"]["template"]
    assert again != template, "a new certificate replaces the pod"


def test_a_change_of_upstreams_kserve_is_told(certificate_folder: Path, tmp_path: Path) -> None:
    certificates.ensure()
    changed = copy.deepcopy(KSERVE)
    del changed[-1]["data"]["ingress"]
    with pytest.raises(PlatformError, match="no longer holds ingress"):
        kserve.manifests(changed, "image")
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho 'no such layer' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    with pytest.raises(PlatformError, match=r"kustomize failed .*: no such layer"):
        kserve.render(kubectl, tmp_path)
