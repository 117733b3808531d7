"""The sections of the volume, the nodes, the hub, the cluster and the costs."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from stacks.gpus import NODE_LABELS, NONE
from stacks.sections.base import FLAG, SIZE, Section, named, one_of, setting, whole

_LABEL = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"


class AccessMode(StrEnum):
    """The number of nodes that may mount the volume."""

    READ_WRITE_MANY = "ReadWriteMany"
    READ_WRITE_ONCE = "ReadWriteOnce"


class StorageSettings(Section):
    """The volume of downloads and releases."""

    size: str = setting("Capacity; may grow later.", use="150Gi", **SIZE)
    storage_class: str | None = setting(
        "StorageClass; by default the cluster's own.",
        default=None,
        must="be the name of a StorageClass",
        use="one that `kubectl get storageclass` shows",
        pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$",
    )
    access_mode: AccessMode = setting(
        "How many nodes may mount it.", default=AccessMode.READ_WRITE_MANY, **one_of(AccessMode)
    )
    keep_releases: int = setting(
        "Releases to keep: the served one and the newest others, which one can go back to without "
        "a download. Older ones are deleted once an answer was right; not from a volume that only "
        "one node can mount.",
        default=2,
        **whole(2, 100),
    )
    protect: bool = setting(
        "Have Pulumi refuse to delete or replace the claim.", default=True, **FLAG
    )
    delete_weights_on_destroy: bool = setting(
        "Delete the claim with the stack; otherwise it stays, and the next `up` finds the weights.",
        default=False,
        **FLAG,
    )


class TolerationOperator(StrEnum):
    """The comparison of a toleration with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    """The effect of a taint on pods that do not tolerate it."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Section):
    """A taint of nodes that pods may run on."""

    key: str = setting(
        "The taint's key.",
        must="be the key of a taint",
        use="one such as nvidia.com/gpu",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]*$",
    )
    operator: TolerationOperator = setting(
        "Exists takes any value.", default=TolerationOperator.EXISTS, **one_of(TolerationOperator)
    )
    value: str | None = setting(
        "The taint's value, for Equal.", default=None, must="be a text", use="the taint's value"
    )
    effect: TaintEffect | None = setting(
        "The taint's effect; by default any.", default=None, **one_of(TaintEffect)
    )


class Scheduling(Section):
    """The nodes that pods run on."""

    region: str | None = setting(
        "Region, by the nodes' label topology.kubernetes.io/region.",
        default=None,
        must="be the value of a label",
        use="one such as LAS1",
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$",
    )
    node_labels: str = setting(
        "Who labels nodes with their GPUs; `none` where all have the same.",
        default="nvidia",
        **named([*NODE_LABELS, NONE]),
    )
    tolerations: tuple[Toleration, ...] = setting(
        "Taints of the nodes to run on.",
        default=(),
        must="be a list of tolerations",
        use="- key: nvidia.com/gpu",
    )
    spare_gpu: bool = setting(
        "Whether the cluster has GPUs for one replica more during a rollout; if not, the old "
        "replica ends before the new one begins.",
        default=True,
        **FLAG,
    )


class HubSettings(Section):
    """The model hub. A token for it is the Pulumi secret `hubToken`."""

    endpoint: str = setting(
        "The hub or a mirror of it, as pods reach it.",
        default="https://huggingface.co",
        must="be an http or https address without user, query and trailing slash",
        use="https://huggingface.co",
        pattern=r"^https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~-]+)*$",
    )


class Preflight(StrEnum):
    """The consequence of an error that the preflight finds."""

    STOP = "stop"
    WARN = "warn"


class ClusterSettings(Section):
    """The cluster to deploy to."""

    namespace: str = setting(
        "Namespace; is made if it is not there.",
        default="ft-serving",
        must="be a DNS label",
        use="ft-serving",
        pattern=_LABEL,
    )
    kubeconfig: str | None = setting(
        "Path of the kubeconfig; by default KUBECONFIG or ~/.kube/config.",
        default=None,
        must="be a path",
        use="~/.kube/config",
        min_length=1,
    )
    context: str | None = setting(
        "Context of the kubeconfig; by default its current one.",
        default=None,
        must="be the name of a context",
        use="one that `kubectl config get-contexts` shows",
        min_length=1,
    )
    ingress_namespaces: tuple[str, ...] = setting(
        "Namespaces whose pods hand requests to the server, for network policies: the ingress's "
        "and Knative's.",
        default=(
            "envoy-gateway-system",
            "ft-serving-platform",
            "istio-ingress",
            "istio-system",
            "knative-serving",
            "kourier-system",
        ),
        must="be a list of namespaces",
        use="- knative-serving, and the one that the ingress's pods are in",
        min_length=1,
    )
    ingress_address: str | None = setting(
        "Address of the ingress, where the host names of services do not lead to it.",
        default=None,
        must="be an http or https address without user, path and query",
        use="http://127.0.0.1:8080",
        pattern=r"^https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?$",
    )
    preflight: Preflight = setting(
        "Whether errors that `ft-serving preflight` finds stop a deployment (docs/preflight.md). "
        "With `warn` they are only told, as where an autoscaler adds the nodes that are missing.",
        default=Preflight.STOP,
        **one_of(Preflight),
    )


class Cost(Section):
    """Prices, for the sum that a preview shows."""

    currency: str = setting(
        "Currency of the prices.",
        default="USD",
        must="be a currency's three letters",
        use="USD",
        pattern=r"^[A-Z]{3}$",
    )
    gpu_hour: Mapping[str, Annotated[float, Field(gt=0)]] = setting(
        "Price of an hour of one GPU, by its type.",
        default={},
        must="be prices above 0 by type of GPU",
        use="RTX_A5000: 0.77",
    )
