"""KServe's InferenceService as a resource whose status can be read.

pulumi-kubernetes has one class for all kinds that it does not know, and that one has no outputs.
"""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import pulumi

from stacks.versions import INFERENCE_SERVICE_API, INFERENCE_SERVICE_KIND


class InferenceServiceObject(pulumi.CustomResource):
    """The object in the cluster.

    Attributes:
        metadata: Its metadata, as the API server has them.
        status: Its status, when it was last read.
    """

    metadata: pulumi.Output[dict[str, Any]]
    status: pulumi.Output[dict[str, Any]]

    def __init__(
        self,
        name: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        spec: Mapping[str, Any] | None = None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        """Declare the object, or, with an `id` in the options, read the one that exists.

        A read passes neither `apiVersion` nor `kind`: given these, Pulumi's plugin looks the object
        up without the namespace and the name in its `id`.
        """
        declared = opts.id is None
        super().__init__(
            f"kubernetes:{INFERENCE_SERVICE_API}:{INFERENCE_SERVICE_KIND}",
            name,
            {
                "apiVersion": INFERENCE_SERVICE_API if declared else None,
                "kind": INFERENCE_SERVICE_KIND if declared else None,
                "metadata": metadata,
                "spec": spec,
                # Not an input: named here, so that the output of that name becomes an attribute.
                "status": None,
            },
            # The provider is told by package and version, as pulumi-kubernetes' own classes do.
            pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(version=version("pulumi-kubernetes"))
            ),
        )
