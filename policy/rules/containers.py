"""Rules about containers: their rights on the node, their bounds, and the images that they run.

The first five rules and `no-host-access` are those of Kubernetes's Pod Security Standards, level
`restricted`, or stricter.
"""

import re
from collections.abc import Callable, Iterator

from policy.pods import Container, PodTemplate, pods
from policy.resource import (
    BUILT_IMAGE,
    UNKNOWN,
    ResourceRule,
    StackResource,
    mapping_at,
    mappings_of,
    resource_rule,
)

_HOST_NAMESPACES = ("hostNetwork", "hostPID", "hostIPC")
_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")

_ContainerCheck = Callable[[PodTemplate, Container], Iterator[str]]


def _container_rule(name: str, description: str) -> Callable[[_ContainerCheck], ResourceRule]:
    """Make a rule of a function that yields where and how a container of a pod breaks it."""

    def decorate(check: _ContainerCheck) -> ResourceRule:
        def of_resource(resource: StackResource) -> Iterator[str]:
            for pod in pods(resource):
                for container in pod.containers():
                    for message in check(pod, container):
                        yield f"{container.path}.{message}"

        return ResourceRule(name=name, description=description, check=of_resource)

    return decorate


@_container_rule("non-root-containers", "Containers run as another user than root.")
def _non_root(pod: PodTemplate, container: Container) -> Iterator[str]:
    security = {**pod.security, **container.security}
    if security.get("runAsNonRoot") not in (True, UNKNOWN):
        yield "securityContext.runAsNonRoot: must be true, here or in the pod"
    if security.get("runAsUser") == 0:
        yield "securityContext.runAsUser: must not be 0, which is root"


@_container_rule(
    "read-only-root-file-systems",
    "Containers write to volumes only: nobody who gets in changes programs.",
)
def _read_only(_: PodTemplate, container: Container) -> Iterator[str]:
    if container.security.get("readOnlyRootFilesystem") not in (True, UNKNOWN):
        yield "securityContext.readOnlyRootFilesystem: must be true"


@_container_rule(
    "no-privilege-escalation", "Containers never get more rights than they start with."
)
def _no_escalation(_: PodTemplate, container: Container) -> Iterator[str]:
    if container.security.get("allowPrivilegeEscalation") not in (False, UNKNOWN):
        yield "securityContext.allowPrivilegeEscalation: must be false"
    if container.security.get("privileged"):
        yield "securityContext.privileged: must be left out"


@_container_rule("no-capabilities", "Containers have none of root's capabilities.")
def _no_capabilities(_: PodTemplate, container: Container) -> Iterator[str]:
    capabilities = mapping_at(container.security, "capabilities")
    if "ALL" not in (capabilities.get("drop") or ()):
        yield "securityContext.capabilities.drop: must have ALL"
    if added := capabilities.get("add"):
        yield f"securityContext.capabilities.add: must be left out; got {', '.join(added)}"


@_container_rule(
    "default-seccomp-profile",
    "Containers make only the system calls of the runtime's default profile.",
)
def _seccomp(pod: PodTemplate, container: Container) -> Iterator[str]:
    given = mapping_at({**pod.security, **container.security}, "seccompProfile").get("type")
    if given not in ("RuntimeDefault", UNKNOWN):
        rule = "must be RuntimeDefault, here or in the pod"
        yield f"securityContext.seccompProfile.type: {rule}; got {given}"


@resource_rule(
    "no-host-access", "Pods share neither namespaces, nor ports, nor files with their node."
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


@_container_rule("bounded-resources", "Containers reserve and are limited in CPU and memory.")
def _bounded(_: PodTemplate, container: Container) -> Iterator[str]:
    for which in ("requests", "limits"):
        amounts = mapping_at(container.document, "resources", which)
        for resource in ("cpu", "memory"):
            if not amounts.get(resource):
                yield f"resources.{which}.{resource}: must be set"


@_container_rule("images-by-digest", "Pods run images by digest: what a tag names may change.")
def _by_digest(_: PodTemplate, container: Container) -> Iterator[str]:
    image = container.document.get("image")
    if image is not UNKNOWN and not _DIGEST.fullmatch(str(image)):
        yield f"image: must be NAME@sha256:DIGEST; got {image}"


@resource_rule("no-latest-tag", "Built images have a tag of their own, and never `latest`.")
def _no_latest(resource: StackResource) -> Iterator[str]:
    name = resource.properties.get("imageName")
    if resource.type != BUILT_IMAGE or name is UNKNOWN:
        return
    # A colon before the last slash is that of the registry's port.
    tag = str(name).rpartition("/")[2].partition(":")[2]
    if tag in ("", "latest"):
        yield f"imageName: must have a tag that is not moved; got {name}"


RULES = (
    _non_root,
    _read_only,
    _no_escalation,
    _no_capabilities,
    _seccomp,
    _no_host,
    _bounded,
    _by_digest,
    _no_latest,
)
