"""The volume of checkpoints and releases."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.labels import labels

CLAIM = "ft-serving-models"
"""The claim's name: fixed, because people mount it and a new stack takes it over."""

MOUNT = "/mnt/models"
"""Where every pod has the volume: config.pbtxt names the weights by their path."""

RELEASES = f"{MOUNT}/triton-model-store"
"""The folder of releases (`ft_serving.weights.storage`)."""


@dataclass(frozen=True, kw_only=True)
class ModelStorageArgs:
    """What the volume is like.

    Attributes:
        namespace: Its namespace.
        size: Its capacity, such as "60Gi"; may grow later.
        storage_class: The storage class; the cluster's default, if None.
        access_mode: "ReadWriteMany", or "ReadWriteOnce" where all pods run on one node.
        retain: Whether the weights outlive the stack.
    """

    namespace: pulumi.Input[str]
    size: str
    storage_class: str | None
    access_mode: str
    retain: bool = True


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
        claim = k8s.core.v1.PersistentVolumeClaim(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=CLAIM, namespace=args.namespace, labels=labels("storage")
            ),
            spec=k8s.core.v1.PersistentVolumeClaimSpecArgs(
                access_modes=[args.access_mode],
                storage_class_name=args.storage_class,
                resources=k8s.core.v1.VolumeResourceRequirementsArgs(
                    requests={"storage": args.size}
                ),
            ),
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.retain),
        )
        self.claim = claim.metadata.apply(lambda metadata: str(metadata.name))
        self.register_outputs({"claim": self.claim})
