"""The objects of Knative Serving for one small node."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from local_platform.addons import knative
from local_platform.addons.manifests import Manifest, ObjectName, only
from local_platform.errors import PlatformError

AUTOSCALER = ObjectName("Deployment", "knative-serving", "autoscaler")
IMAGES = {name: f"registry/{name}@sha256:1" for name in knative.PROGRAMS}


def _config_map(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": "knative-serving",
            "annotations": {"knative.dev/example-checksum": "12345678"},
        },
        "data": {"_example": "# documentation"},
    }


def _deployment(program: str) -> Manifest:
    container: dict[str, Any] = {
        "name": program,
        "image": f"ko://knative.dev/serving/cmd/{program}",
        "env": [{"name": "SYSTEM_NAMESPACE", "value": "x"}, {"name": "GOGC", "value": "500"}],
        "readinessProbe": {"httpGet": {"port": 8080}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "300m"}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": program, "namespace": "knative-serving"},
        "spec": {
            "template": {
                "spec": {
                    "affinity": {"podAntiAffinity": {}},
                    "containers": [container],
                    "terminationGracePeriodSeconds": 600,
                }
            }
        },
    }


_CONFIG_MAPS = ("autoscaler", "deployment", "domain", "features", "logging", "observability")


def _lay_out(folder: Path, *more: Manifest) -> Path:
    """Modules' folders as the toolchain keeps them."""
    core: list[Manifest] = [
        *(_config_map(f"config-{name}") for name in _CONFIG_MAPS),
        *(_deployment(name) for name in knative.PROGRAMS if name != "queue"),
        {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "activator"}},
        {"kind": "PodDisruptionBudget", "metadata": {"name": "activator-pdb"}},
        {"kind": "Certificate", "metadata": {"name": "routing-serving-certs"}},
        {"kind": "Image", "metadata": {"name": "queue-proxy"}},
        *more,
    ]
    files: dict[str, list[Manifest]] = {
        "serving/config/core/all.yaml": core,
        "networking/config/config-network.yaml": [_config_map("config-network")],
        "caching/config/image.yaml": [
            {
                "kind": "CustomResourceDefinition",
                "metadata": {"name": "images"},
                "spec": {"description": "prose"},
            }
        ],
    }
    for name, documents in files.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(yaml.safe_dump_all(documents))
    return folder


def test_programs_run_from_our_images_with_little_memory_and_no_election(tmp_path: Path) -> None:
    found = knative.manifests(_lay_out(tmp_path), IMAGES)
    deployment = only(found, AUTOSCALER)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry/autoscaler@sha256:1"
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "SYSTEM_NAMESPACE": "x",
        "GOMEMLIMIT": "64MiB",
        "STATEFUL_CONTROLLER_ORDINAL": "autoscaler-0",
        "STATEFUL_SERVICE_NAME": "autoscaler",
    }
    assert container["resources"] == {
        "requests": {"cpu": "10m", "memory": "64Mi"},
        "limits": {"memory": "512Mi"},
    }
    assert "affinity" not in pod
    assert deployment["spec"]["replicas"] == 1
    activator = only(found, ObjectName("Deployment", "knative-serving", "activator"))
    (container,) = activator["spec"]["template"]["spec"]["containers"]
    assert [one["name"] for one in container["env"]] == ["SYSTEM_NAMESPACE", "GOMEMLIMIT"]
    kinds = {one["kind"] for one in found}
    assert kinds == {"ConfigMap", "CustomResourceDefinition", "Deployment"}


def test_the_configuration_says_what_the_platform_needs(tmp_path: Path) -> None:
    found = knative.manifests(_lay_out(tmp_path), IMAGES)
    data = {one["metadata"]["name"]: one["data"] for one in found if one["kind"] == "ConfigMap"}
    assert data["config-network"] == {"ingress-class": "traefik.ingress.networking.knative.dev"}
    assert data["config-domain"] == {"localhost": ""}
    assert data["config-deployment"]["queue-sidecar-image"] == "registry/queue@sha256:1"
    assert "localhost:5000" in data["config-deployment"]["registries-skipping-tag-resolving"]
    assert data["config-features"]["kubernetes.podspec-persistent-volume-claim"] == "enabled"
    assert data["config-observability"] == {
        "metrics-protocol": "prometheus",
        "request-metrics-protocol": "prometheus",
    }
    assert data["config-logging"] == {}, "the webhook refuses an example that is not upstream's"


def test_a_change_of_how_metrics_are_told_starts_programs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _lay_out(tmp_path)
    before = only(knative.manifests(folder, IMAGES), AUTOSCALER)["spec"]["template"]["metadata"]
    changed = {**knative._CONFIG, "config-observability": {"metrics-protocol": "none"}}
    monkeypatch.setattr(knative, "_CONFIG", changed)
    after = only(knative.manifests(folder, IMAGES), AUTOSCALER)["spec"]["template"]["metadata"]
    assert before != after, "they open the port when they start, and look no more"


def test_a_program_that_is_not_built_is_named(tmp_path: Path) -> None:
    folder = _lay_out(tmp_path, _deployment("net-new"))
    with pytest.raises(PlatformError, match="program that is not built: net-new"):
        knative.manifests(folder, IMAGES)
