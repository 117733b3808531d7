"""Resources, and what Pulumi would do to get from one list of them to another.

Only the API server and the provider know for sure what must be replaced. Without them, these are
their rules for the kinds that the program makes. Sources: `ValidateJobUpdate`,
`ValidatePersistentVolumeClaimUpdate` and their like in `pkg/apis/*/validation` of Kubernetes; for
the contents of ConfigMap and Secret the defaults of pulumi-kubernetes (`enableConfigMapMutable`,
`enableSecretMutable`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from operations.preview.differences import UNKNOWN, Property, differences

INFERENCE_SERVICE = ":InferenceService"
CLAIM = ":PersistentVolumeClaim"
NAMESPACE = ":Namespace"
PROVIDER = "pulumi:providers:kubernetes"
"""Type tokens, or their ends, of resources that get warnings."""

_IMMUTABLE = {
    "ConfigMap": ("data", "binaryData"),
    "Job": (
        "spec.completionMode",
        "spec.completions",
        "spec.podFailurePolicy",
        "spec.selector",
        "spec.template",
    ),
    "PersistentVolumeClaim": (
        "spec.accessModes",
        "spec.dataSource",
        "spec.dataSourceRef",
        "spec.selector",
        "spec.storageClassName",
        "spec.volumeMode",
        "spec.volumeName",
    ),
    "RoleBinding": ("roleRef",),
    "Secret": ("data", "stringData", "type"),
}
_IDENTITY = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
"""Properties that no object can change."""


class Action(StrEnum):
    """An action on a resource, the gravest first."""

    DELETE = "delete"
    REPLACE = "replace"
    UPDATE = "update"
    CREATE = "create"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A resource of a stack."""

    type: str  # Its type token.
    name: str  # Its logical name.
    # Its properties; secrets as `operations.recording.listing` or Pulumi masks them.
    inputs: Mapping[str, object]
    protect: bool = False  # Whether Pulumi refuses to delete it.
    retain: bool = False  # Whether it stays when Pulumi deletes it from the stack.
    # Paths whose changes replace it, because the program says so.
    replaced_on: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """Return the last part of its type, such as Job."""
        return "Provider" if self.type == PROVIDER else self.type.rpartition(":")[2]

    @property
    def object_name(self) -> str:
        """Return its name in the cluster or, if that is not known, its logical one."""
        metadata = self.inputs.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        return name if isinstance(name, str) and name != UNKNOWN else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """An action on one resource."""

    action: Action
    resource: Resource  # The resource as it is or, if it is not there yet, as it will be.
    # The properties that differ; empty where it is created or deleted.
    properties: tuple[Property, ...] = ()
    reasons: tuple[Property, ...] = ()  # The properties that cause a replacement.


def in_order(changes: list[Change]) -> tuple[Change, ...]:
    """Return changes with the gravest first, then by kind and name."""
    order = list(Action)
    return tuple(
        sorted(
            changes,
            key=lambda it: (order.index(it.action), it.resource.kind, it.resource.name),
        )
    )


def compare(base: Sequence[Resource], head: Sequence[Resource]) -> tuple[Change, ...]:
    """Return the changes from the present resources to those that there shall be."""
    before = {(it.type, it.name): it for it in base}
    after = {(it.type, it.name): it for it in head}
    changes = [
        Change(action=Action.DELETE, resource=it) for key, it in before.items() if key not in after
    ]
    for key, resource in after.items():
        if key not in before:
            changes.append(Change(action=Action.CREATE, resource=resource))
        elif properties := tuple(differences(before[key].inputs, resource.inputs)):
            changes.append(_changed(before[key], resource, properties))
    return in_order(changes)


def _changed(before: Resource, after: Resource, properties: tuple[Property, ...]) -> Change:
    rules = after.replaced_on
    if after.type.startswith("kubernetes:"):
        rules += (*_IDENTITY, *_IMMUTABLE.get(after.kind, ()))
    paths = [tuple(rule.split(".")) for rule in rules]
    reasons = tuple(it for it in properties if any(map(it.lies_in, paths)))
    return Change(
        action=Action.REPLACE if reasons else Action.UPDATE,
        resource=before,
        properties=properties,
        reasons=reasons,
    )
