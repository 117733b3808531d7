"""Lists a recording's resources without secrets, to review, to compare and to write to a file."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pulumi.runtime import rpc

from operations.recording.recorder import Recording, Registered, plain

SECRET = "[secret]"  # noqa: S105 - shown instead of one
"""Stands for a secret: the only key of a mapping, whose value tells two secrets apart."""


def listing(recording: Recording) -> list[dict[str, Any]]:
    """Return type, name, parent, read, inputs and options of every resource, by type and name."""
    return sorted(map(_listed, recording.resources), key=lambda it: (it["type"], it["name"]))


def _listed(resource: Registered) -> dict[str, Any]:
    request = resource.request
    options = {
        "protect": getattr(request, "protect", False),
        "retainOnDelete": getattr(request, "retainOnDelete", False),
        "deleteBeforeReplace": getattr(request, "deleteBeforeReplace", False),
        "replaceOnChanges": list(getattr(request, "replaceOnChanges", ())),
        "createTimeout": request.customTimeouts.create if not resource.read else "",
        "dependencies": sorted(resource.dependencies),
    }
    inputs = resource.inputs if resource.read else rpc.deserialize_properties(request.object)
    return {
        "type": resource.type,
        "name": resource.name,
        "parent": resource.parent,
        "read": resource.read,
        "inputs": json.loads(json.dumps(_masked(inputs))),
        "options": {name: value for name, value in options.items() if value},
    }


def _masked(value: object) -> object:
    if isinstance(value, Mapping):
        if rpc._special_sig_key in value:
            text = json.dumps(plain(value), sort_keys=True)
            return {SECRET: hashlib.sha256(text.encode()).hexdigest()[:12]}
        return {name: _masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    return plain(value)
