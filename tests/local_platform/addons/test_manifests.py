"""Kubernetes objects, ours and upstream's."""

import pytest

from local_platform import settings
from local_platform.addons.manifests import (
    Manifest,
    ObjectName,
    identity,
    only,
    own,
    without_descriptions,
)
from local_platform.errors import PlatformError

IMAGES = {
    "COREDNS_IMAGE": "registry/coredns@sha256:1",
    "TRAEFIK_IMAGE": "registry/traefik@sha256:2",
}


def _ours() -> list[Manifest]:
    return [one for name in ("platform", "coredns", "traefik") for one in own(name, IMAGES)]


def test_our_objects_have_one_identity_each() -> None:
    identities = [identity(manifest) for manifest in _ours()]
    assert len(identities) == len(set(identities)) == 19


def test_our_containers_have_no_rights_that_they_do_not_need() -> None:
    pods = [one["spec"]["template"]["spec"] for one in _ours() if one["kind"] == "Deployment"]
    assert [pod["containers"][0]["image"] for pod in pods] == list(IMAGES.values())
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


def test_the_settings_are_in_place() -> None:
    ours = _ours()
    dns = only(ours, ObjectName("Service", settings.NAMESPACE, "coredns"))
    assert dns["spec"]["clusterIP"] == settings.CLUSTER_DNS
    slice_ = only(ours, ObjectName("EndpointSlice", settings.NAMESPACE, "model-hub"))
    assert slice_["ports"][0]["port"] == settings.HUB_PORT
    assert slice_["endpoints"][0]["addresses"] == [settings.NODE_ADDRESS]
    traefik = only(ours, ObjectName("Deployment", settings.NAMESPACE, "traefik"))
    ports = traefik["spec"]["template"]["spec"]["containers"][0]["ports"]
    assert [port.get("hostPort") for port in ports] == [settings.INGRESS_PORT, None, None]


def test_prose_is_dropped_and_a_property_of_that_name_is_kept() -> None:
    definition = {
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "x", "annotations": {"description": "kept: no schema"}},
        "spec": {
            "versions": [
                {
                    "schema": {
                        "openAPIV3Schema": {
                            "description": "prose",
                            "properties": {
                                "description": {"type": "string", "description": "prose"},
                                "properties": {
                                    "description": "prose",
                                    "properties": {"description": {"type": "string"}},
                                },
                            },
                            "required": ["description"],
                        }
                    }
                }
            ]
        },
    }
    bare = without_descriptions(definition)
    assert bare["metadata"] == definition["metadata"]
    assert bare["spec"]["versions"][0]["schema"]["openAPIV3Schema"] == {
        "properties": {
            "description": {"type": "string"},
            "properties": {"properties": {"description": {"type": "string"}}},
        },
        "required": ["description"],
    }


def test_an_object_that_upstream_no_longer_has_is_named() -> None:
    with pytest.raises(PlatformError, match="no longer hold ConfigMap there/gone"):
        only(_ours(), ObjectName("ConfigMap", "there", "gone"))
