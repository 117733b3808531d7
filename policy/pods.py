"""The pods that resources lead to."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policy.resource import StackResource, mapping_at, mappings_of

_TEMPLATES: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "Deployment": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    # Knative's; Kubernetes's own Service has no template.
    "Configuration": ("spec", "template"),
    "Service": ("spec", "template"),
}
"""Where a kind has its pods' metadata and spec."""

_KSERVE_PARTS = ("predictor", "transformer", "explainer")
"""Parts of an InferenceService: each is a pod's spec, with more in it."""

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of a pod.

    Attributes:
        path: Where it is in its resource.
        document: What it is, in the API's names.
    """

    path: str
    document: Mapping[str, Any]

    @property
    def security(self) -> Mapping[str, Any]:
        """Its security context."""
        return mapping_at(self.document, "securityContext")


@dataclass(frozen=True, kw_only=True)
class PodTemplate:
    """What a resource's pods are made of.

    Attributes:
        path: Where the spec is in the resource.
        labels: The pods' labels.
        spec: Their spec, in the API's names.
    """

    path: str
    labels: Mapping[str, Any]
    spec: Mapping[str, Any]

    @property
    def security(self) -> Mapping[str, Any]:
        """The security context that its containers inherit."""
        return mapping_at(self.spec, "securityContext")

    def containers(self) -> Iterator[Container]:
        """All containers, those before the start among them."""
        for kind in _CONTAINER_LISTS:
            for index, container in mappings_of(self.spec.get(kind)):
                yield Container(path=f"{self.path}.{kind}[{index}]", document=container)


def pods(resource: StackResource) -> Iterator[PodTemplate]:
    """What a resource's pods are made of; nothing for what leads to none."""
    if not resource.type.startswith("kubernetes:"):
        return
    properties = resource.properties
    if resource.kind == "InferenceService":
        # KServe gives pods the labels of the InferenceService and those of the part.
        labels = mapping_at(properties, "metadata", "labels")
        for part in _KSERVE_PARTS:
            if spec := mapping_at(properties, "spec", part):
                own = mapping_at(spec, "labels")
                yield PodTemplate(path=f"spec.{part}", labels={**labels, **own}, spec=spec)
    elif (path := _TEMPLATES.get(resource.kind)) is not None:
        template = mapping_at(properties, *path)
        if spec := mapping_at(template, "spec"):
            labels = mapping_at(template, "metadata", "labels")
            yield PodTemplate(path=".".join((*path, "spec")), labels=labels, spec=spec)
