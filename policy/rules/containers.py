"""What containers may do to their node and to each other, and which images they run.

The first five rules and `no-host-access` are those of Kubernetes's Pod Security Standards, level
`restricted`, or stricter.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from policy.pods import pods
from policy.resource import UNKNOWN, ResourceRule, StackResource, mapping_at, mappings_of

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_BOUNDED = ("cpu", "memory")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_BUILT_IMAGE = "docker:index/image:Image"


def _non_root(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            path = f"{container.path}.securityContext"
            security = {**pod.security, **container.security}
            if security.get("runAsNonRoot") not in (True, UNKNOWN):
                yield f"{path}.runAsNonRoot: must be true, here or in the pod"
            if security.get("runAsUser") == 0:
                yield f"{path}.runAsUser: must not be 0, which is root"


def _read_only(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            if container.security.get("readOnlyRootFilesystem") not in (True, UNKNOWN):
                yield f"{container.path}.securityContext.readOnlyRootFilesystem: must be true"


def _no_escalation(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            path = f"{container.path}.securityContext"
            if container.security.get("allowPrivilegeEscalation") not in (False, UNKNOWN):
                yield f"{path}.allowPrivilegeEscalation: must be false"
            if container.security.get("privileged"):
                yield f"{path}.privileged: must be left out"


def _no_capabilities(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            capabilities = mapping_at(container.security, "capabilities")
            path = f"{container.path}.securityContext.capabilities"
            if "ALL" not in (capabilities.get("drop") or ()):
                yield f"{path}.drop: must have ALL"
            if capabilities.get("add"):
                yield f"{path}.add: must be left out; got {', '.join(capabilities['add'])}"


def _seccomp(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            security = {**pod.security, **container.security}
            given = mapping_at(security, "seccompProfile").get("type")
            if given not in ("RuntimeDefault", UNKNOWN):
                yield (
                    f"{container.path}.securityContext.seccompProfile.type: "
                    f"must be RuntimeDefault, here or in the pod; got {given}"
                )


def _no_host(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for namespace in _HOST_NAMESPACES:
            if pod.spec.get(namespace):
                yield f"{pod.path}.{namespace}: must be left out"
        for index, volume in mappings_of(pod.spec.get("volumes")):
            if "hostPath" in volume:
                yield f"{pod.path}.volumes[{index}].hostPath: must be another kind of volume"
        for container in pod.containers():
            for index, port in mappings_of(container.document.get("ports")):
                if port.get("hostPort"):
                    yield f"{container.path}.ports[{index}].hostPort: must be left out"


def _bounded(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            resources: Mapping[str, Any] = mapping_at(container.document, "resources")
            for which in ("requests", "limits"):
                amounts = mapping_at(resources, which)
                for what in _BOUNDED:
                    if not amounts.get(what):
                        yield f"{container.path}.resources.{which}.{what}: must be set"


def _by_digest(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            image = container.document.get("image")
            if image is not UNKNOWN and not _DIGEST.fullmatch(str(image)):
                yield f"{container.path}.image: must be NAME@sha256:DIGEST; got {image}"


def _no_latest(resource: StackResource) -> Iterator[str]:
    name = resource.properties.get("imageName")
    if resource.type != _BUILT_IMAGE or name is UNKNOWN:
        return
    # A colon before the last slash is that of the registry's port.
    tag = str(name).rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield f"imageName: must have a tag that is not moved; got {name}"


RULES = (
    ResourceRule(
        name="non-root-containers",
        description="Containers run as another user than root.",
        check=_non_root,
    ),
    ResourceRule(
        name="read-only-root-file-systems",
        description="Containers write to volumes alone: nobody who gets in changes programs.",
        check=_read_only,
    ),
    ResourceRule(
        name="no-privilege-escalation",
        description="Containers never get more rights than they start with.",
        check=_no_escalation,
    ),
    ResourceRule(
        name="no-capabilities",
        description="Containers have none of root's capabilities.",
        check=_no_capabilities,
    ),
    ResourceRule(
        name="default-seccomp-profile",
        description="Containers make only the system calls of the runtime's default profile.",
        check=_seccomp,
    ),
    ResourceRule(
        name="no-host-access",
        description="Pods share neither namespaces, nor ports, nor files with their node.",
        check=_no_host,
    ),
    ResourceRule(
        name="bounded-resources",
        description="Containers reserve and are limited in CPU and memory.",
        check=_bounded,
    ),
    ResourceRule(
        name="images-by-digest",
        description="Pods run images by digest: what a tag names may change.",
        check=_by_digest,
    ),
    ResourceRule(
        name="no-latest-tag",
        description="Built images have a tag of their own, and never `latest`.",
        check=_no_latest,
    ),
)
