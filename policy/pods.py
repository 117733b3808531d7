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
"""The path of the pods' metadata and spec, by kind."""

_KSERVE_PARTS = ("predictor", "transformer", "explainer")
"""Parts of an InferenceService: each is a pod's spec, with more in it."""

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, kw_only=True)
class Container:
    """A container of a pod.

    Attributes:
        path: Its place in its resource.
        document: Its fields, in the API's names.
    """

    path: str
    document: Mapping[str, Any]

    @property
    def security(self) -> Mapping[str, Any]:
        """Its security context."""
        return mapping_at(self.document, "securityContext")


@dataclass(frozen=True, kw_only=True)
class PodTemplate:
    """The template of a resource's pods.

    Attributes:
        path: The place of the spec in the resource.
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
        """Yield all containers, those that run before the start, too."""
        for kind in _CONTAINER_LISTS:
            for index, container in mappings_of(self.spec.get(kind)):
                yield Container(path=f"{self.path}.{kind}[{index}]", document=container)


def pods(resource: StackResource) -> Iterator[PodTemplate]:
    """Yield the templates of the pods that a resource leads to."""
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
