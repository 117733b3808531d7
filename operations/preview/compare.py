"""Foretells without a cluster what Pulumi would do to come from one list of resources to another.

What must be replaced is decided by the API server and the provider, who are not asked here. These
are their rules for the kinds that the program makes. Sources: `ValidateJobUpdate`,
`ValidatePersistentVolumeClaimUpdate` and their like in `pkg/apis/*/validation` of Kubernetes; for
the contents of ConfigMap and Secret the defaults of pulumi-kubernetes (`enableConfigMapMutable`,
`enableSecretMutable`).
"""

from collections.abc import Sequence

from operations.preview.changes import Action, Change, Resource, in_order
from operations.preview.differences import Path, Property, differences

_IMMUTABLE: dict[str, tuple[Path, ...]] = {
    "ConfigMap": (("data",), ("binaryData",)),
    "Job": (
        ("spec", "completionMode"),
        ("spec", "completions"),
        ("spec", "podFailurePolicy"),
        ("spec", "selector"),
        ("spec", "template"),
    ),
    "PersistentVolumeClaim": (
        ("spec", "accessModes"),
        ("spec", "dataSource"),
        ("spec", "dataSourceRef"),
        ("spec", "selector"),
        ("spec", "storageClassName"),
        ("spec", "volumeMode"),
        ("spec", "volumeName"),
    ),
    "RoleBinding": (("roleRef",),),
    "Secret": (("data",), ("stringData",), ("type",)),
}
_IDENTITY: tuple[Path, ...] = (
    ("apiVersion",),
    ("kind",),
    ("metadata", "name"),
    ("metadata", "namespace"),
)
"""What no object can change."""


def compare(base: Sequence[Resource], head: Sequence[Resource]) -> tuple[Change, ...]:
    """Return what would be done with each resource that does not stay as it is.

    Args:
        base: What there is.
        head: What there shall be.
    """
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
    rules: tuple[Path, ...] = after.replaced_on
    if after.type.startswith("kubernetes:"):
        rules += (*_IDENTITY, *_IMMUTABLE.get(after.kind, ()))
    reasons = tuple(it for it in properties if any(it.lies_in(rule) for rule in rules))
    return Change(
        action=Action.REPLACE if reasons else Action.UPDATE,
        resource=before,
        properties=properties,
        reasons=reasons,
    )
