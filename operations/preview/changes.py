"""What becomes of resources: one form for what is compared, whatever it was compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from operations.preview.differences import UNKNOWN, Path, Property

INFERENCE_SERVICE = ":InferenceService"
CLAIM = ":PersistentVolumeClaim"
NAMESPACE = ":Namespace"
PROVIDER = "pulumi:providers:kubernetes"
"""Type tokens, or their ends, of the resources that something depends on."""


class Action(StrEnum):
    """What is done with a resource, the gravest first."""

    DELETE = "delete"
    REPLACE = "replace"
    UPDATE = "update"
    CREATE = "create"


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """A resource of a stack.

    Attributes:
        type: Its type token.
        name: Its logical name.
        inputs: Its properties; a secret is what `operations.recording.listing` makes of it, or
            Pulumi's "[secret]".
        protect: Whether Pulumi refuses to delete it.
        retain: Whether it stays when Pulumi deletes it from the stack.
        replaced_on: Paths whose changes replace it, because the program says so.
    """

    type: str
    name: str
    inputs: Mapping[str, object]
    protect: bool = False
    retain: bool = False
    replaced_on: tuple[Path, ...] = ()

    @property
    def kind(self) -> str:
        """The last part of its type, such as Job."""
        return "Provider" if self.type == PROVIDER else self.type.rpartition(":")[2]

    @property
    def object_name(self) -> str:
        """The name that it has in the cluster, or, if that is not known, its logical one."""
        metadata = self.inputs.get("metadata")
        name = metadata.get("name") if isinstance(metadata, Mapping) else None
        return name if isinstance(name, str) and name != UNKNOWN else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What is done with one resource.

    Attributes:
        action: What is done.
        resource: The resource as it is, or, if it is not there yet, as it will be.
        properties: What differs; nothing where it is created or deleted.
        reasons: Those of the properties that cause a replacement.
    """

    action: Action
    resource: Resource
    properties: tuple[Property, ...] = ()
    reasons: tuple[Property, ...] = ()


def in_order(changes: list[Change]) -> tuple[Change, ...]:
    """Sort changes: the gravest first, then by kind and name."""
    order = list(Action)
    return tuple(
        sorted(
            changes,
            key=lambda it: (order.index(it.action), it.resource.kind, it.resource.name),
        )
    )
