"""The volume of checkpoints and releases."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import NOT_AWAITED, OWNED, labels, name_of
from components.pods import Document
from stacks.sections import StorageSettings

CLAIM = "ft-serving-models"
"""The claim's name: fixed, because people mount it and a new stack takes it over."""

MOUNT = "/mnt/models"
"""The volume's path in every pod, because config.pbtxt names the weights by it."""

RELEASES = f"{MOUNT}/triton-model-store"
"""The folder of releases (`ft_serving.core.storage`)."""

CACHES = "caches"
"""The volume's folder of the code that servers compile for each release (likewise)."""

CACHE_MOUNT = "/var/cache/ft-serving"
"""The path of the release's cache in every server, the only folder of the volume that it may write:
compiled code names files by their path."""


@dataclass(frozen=True, kw_only=True)
class ModelStorageArgs:
    """The volume.

    Attributes:
        namespace: Its namespace.
        settings: Size, class and access mode, and whether it outlives the stack.
    """

    namespace: pulumi.Input[str]
    settings: StorageSettings


class ModelStorage(pulumi.ComponentResource):
    """A persistent volume claim, kept when the stack is destroyed and found by the next one.

    Attributes:
        claim: The claim's name.
    """

    claim: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelStorageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:ModelStorage", name, None, opts)
        settings = args.settings
        inputs: Document = {
            "metadata": {
                "name": CLAIM,
                "namespace": args.namespace,
                "labels": labels("storage"),
                # The download's gate says why a claim is not bound, and within seconds. Some are
                # bound only once a pod wants them.
                "annotations": {**OWNED, **NOT_AWAITED},
            },
            "spec": {
                "accessModes": [settings.access_mode.value],
                "storageClassName": settings.storage_class,
                "resources": {"requests": {"storage": settings.size}},
            },
        }
        claim = k8s.core.v1.PersistentVolumeClaim(
            name,
            **inputs,
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=settings.protect,
                retain_on_delete=not settings.delete_weights_on_destroy,
            ),
        )
        self.claim = name_of(claim)
        self.register_outputs({"claim": self.claim})
