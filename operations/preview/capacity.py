"""The number of GPUs that a stack takes, and their cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from operations.preview.compare import INFERENCE_SERVICE, Resource
from stacks.gpus import NodeRequirement, labelled_gpu
from stacks.sections.cluster import Cost

_GPU_RESOURCE = "nvidia.com/gpu"


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """The GPUs of a stack."""

    gpu: str = ""  # Their type in the catalogue; empty where there are none.
    per_replica: int = 0  # GPUs of a replica: tensor times pipeline parallelism.
    min_replicas: int = 0  # Fewest replicas.
    max_replicas: int = 0  # Most replicas.

    @property
    def gpus(self) -> tuple[int, int]:
        """Return the GPUs of the fewest and of the most replicas."""
        return self.per_replica * self.min_replicas, self.per_replica * self.max_replicas

    def hourly_cost(self, prices: Cost) -> tuple[float, float] | None:
        """Return the cost of an hour, fewest and most; None where their type has no price."""
        price = prices.gpu_hour.get(self.gpu)
        if not self.per_replica:
            return 0.0, 0.0
        return None if price is None else (price * self.gpus[0], price * self.gpus[1])


def capacity_of(resources: Iterable[Resource], configured: str) -> Capacity:
    """Return the GPUs of the InferenceService among a stack's resources.

    Where nodes have no labels that tell types apart, their type is the `configured` one.
    """
    for resource in resources:
        spec = resource.inputs.get("spec")
        if resource.type.endswith(INFERENCE_SERVICE) and isinstance(spec, Mapping):
            predictor = spec["predictor"]
            limits = predictor["containers"][0].get("resources", {}).get("limits", {})
            per_replica = int(limits.get(_GPU_RESOURCE, 0))
            return Capacity(
                gpu=_type(predictor.get("affinity", {})) or configured if per_replica else "",
                per_replica=per_replica,
                min_replicas=int(predictor["minReplicas"]),
                max_replicas=int(predictor["maxReplicas"]),
            )
    return Capacity()


def _type(affinity: Mapping[str, Any]) -> str:
    """Return the GPU of the catalogue that a pod's node affinity asks for."""
    node = affinity.get("nodeAffinity", {})
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", []):
        for expression in term.get("matchExpressions", []):
            values = tuple(expression.get("values", ()))
            found = labelled_gpu(NodeRequirement(key=expression["key"], values=values))
            if found is not None:
                return found
    return ""
