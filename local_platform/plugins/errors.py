"""Errors that a provider plugin answers to Pulumi's engine."""

from collections.abc import Mapping, Sequence

from local_platform.errors import PlatformError
from local_platform.plugins.values import Value


class PluginError(PlatformError):
    """A call of the engine that fails; the engine prints the message beside the resource."""


class ResourceInitError(PluginError):
    """The object exists, but did not become ready; the engine keeps it in the stack's state.

    Attributes:
        resource_id: The resource's identifier.
        outputs: The object's properties as they are now.
        inputs: The inputs it was made from.
        reasons: What is wrong with it, one line each.
    """

    def __init__(
        self,
        message: str,
        *,
        resource_id: str,
        outputs: Mapping[str, Value],
        inputs: Mapping[str, Value],
        reasons: Sequence[str],
    ) -> None:
        super().__init__(message)
        self.resource_id = resource_id
        self.outputs = outputs
        self.inputs = inputs
        self.reasons = reasons
