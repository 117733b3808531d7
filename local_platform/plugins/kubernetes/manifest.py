"""Manifests: names, annotations, and what the stack's state keeps of an object."""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any

from local_platform.plugins.values import UNKNOWN, Secret, Value, conceal, reveal

AUTONAMED = "pulumi.com/autonamed"
"""Marks objects whose name the program did not choose."""

_SET_BY_SERVER = (
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
)
"""Fields of `metadata` that no program sets."""

_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def annotation(manifest: Mapping[str, Any], name: str) -> Value:
    """An annotation's value, or None."""
    metadata = reveal(manifest.get("metadata")) or {}
    annotations = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return annotations.get(name) if isinstance(annotations, Mapping) else None


def without_nulls(value: Value) -> Value:
    """A value without the members that are null: to the API server they are not there."""
    if isinstance(value, Secret):
        return Secret(without_nulls(value.value))
    if isinstance(value, Mapping):
        return {name: without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def named(manifest: dict[str, Any], old: Mapping[str, Any], name: str, seed: bytes) -> None:
    """Gives a manifest a name if it has none: its old one, or the resource's with a random end.

    Args:
        manifest: The manifest, which is changed.
        old: The resource's inputs until now; empty for a new object.
        name: The resource's name in the program.
        seed: What the engine wants random choices to depend on.
    """
    metadata = manifest.setdefault("metadata", {})
    if not isinstance(metadata, dict) or "name" in metadata:
        return
    if annotation(old, AUTONAMED) == "true":
        metadata["name"] = reveal(old["metadata"])["name"]
    else:
        suffix = hashlib.sha256(seed).hexdigest()[:8] if seed else secrets.token_hex(4)
        metadata["name"] = f"{name}-{suffix}"
    annotations = metadata.get("annotations", {})
    marked = {**annotations, AUTONAMED: "true"} if isinstance(annotations, Mapping) else annotations
    if isinstance(annotations, Secret):
        marked = Secret({**annotations.value, AUTONAMED: "true"})
    metadata["annotations"] = marked


def identity(manifest: Mapping[str, Any]) -> tuple[str | None, str]:
    """The namespace and the name of an object."""
    metadata = reveal(manifest["metadata"])
    return metadata.get("namespace"), metadata["name"]


def resource_id(manifest: Mapping[str, Any]) -> str:
    """The id that the engine knows an object by: `namespace/name`, or `name` without namespaces."""
    namespace, name = identity(manifest)
    return f"{namespace}/{name}" if namespace else name


def parse_id(given: str) -> tuple[str | None, str]:
    """The namespace, if there is one, and the name in an id."""
    namespace, _, name = given.rpartition("/")
    return namespace or None, name


def outputs(live: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Value]:
    """What the state keeps of an object: all but who owns which field; secrets as in the inputs."""
    metadata = {name: value for name, value in live["metadata"].items() if name != "managedFields"}
    kept = conceal({**live, "metadata": metadata}, inputs)
    if live["kind"] == "Secret" and live["apiVersion"] == "v1":
        kept = conceal(kept, {name: Secret("") for name in ("data", "stringData")})
        kept = conceal(kept, {"metadata": {"annotations": {_LAST_APPLIED: Secret("")}}})
    return dict(kept)


def expected(planned: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Value]:
    """What a preview tells of an object that does not exist yet."""
    told = outputs(planned, inputs) if "metadata" in planned else dict(planned)
    metadata = told.get("metadata")
    if isinstance(metadata, Mapping):
        given = dict.fromkeys(("uid", "resourceVersion", "creationTimestamp"), UNKNOWN)
        told["metadata"] = {**metadata, **given}
    told["status"] = UNKNOWN
    return told


def imported(live: Mapping[str, Any]) -> dict[str, Value]:
    """Inputs that would make an object as it is."""
    kept = {name: value for name, value in live.items() if name not in {"metadata", "status"}}
    metadata = {
        name: value for name, value in live["metadata"].items() if name not in _SET_BY_SERVER
    }
    annotations = dict(metadata.pop("annotations", {}))
    annotations.pop(_LAST_APPLIED, None)
    if annotations:
        metadata["annotations"] = annotations
    if live["kind"] == "Secret" and "data" in kept:
        kept["data"] = Secret(kept["data"])
    return {**kept, "metadata": metadata}


def refreshed(inputs: Mapping[str, Any], live: Mapping[str, Any]) -> dict[str, Value]:
    """The inputs with every field as it is now, so that a change by others shows as a difference.

    Fields that the program does not set are not of interest, whoever changed them.
    """
    seen = dict(live)
    if live["kind"] == "Secret" and "stringData" in inputs:
        # The API server keeps `stringData` as `data` alone.
        data = live.get("data") or {}
        seen["stringData"] = {
            name: base64.b64decode(value).decode("utf-8", "replace") for name, value in data.items()
        }
    return dict(conceal(_projected(reveal(inputs), seen), inputs))


def _projected(inputs: Value, live: Value) -> Value:
    if isinstance(inputs, Mapping) and isinstance(live, Mapping):
        return {
            name: _projected(value, live[name]) for name, value in inputs.items() if name in live
        }
    if isinstance(inputs, list) and isinstance(live, list) and len(inputs) == len(live):
        return [_projected(old, new) for old, new in zip(inputs, live, strict=True)]
    return live
