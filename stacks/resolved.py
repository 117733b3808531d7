"""Values that are derived from a configuration: scaling and the resources of containers."""

from dataclasses import dataclass

from ft_serving.core.families.base import Blueprint
from stacks.engines import Demand
from stacks.quantities import millicores
from stacks.sections import GpuSettings, Mode, Model, Replicas, ScaleMetric, Serving
from stacks.sizing import PeakLoad

METRICS = {
    Mode.SERVERLESS: (ScaleMetric.CONCURRENCY, ScaleMetric.RPS),
    Mode.STANDARD: (ScaleMetric.CPU, ScaleMetric.MEMORY),
}
"""The metrics that each mode can scale by: Knative's autoscaler's, a HorizontalPodAutoscaler's."""

JOB_CPU = "2"

_OPENAI_MOST_RESERVED_MILLICORES = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaling:
    """The number of replicas, with every default filled in.

    Attributes:
        min: Fewest.
        max: Most.
        metric: The metric that decides between them.
        target: The metric's value of one replica.
        container_concurrency: Requests that a replica gets at once; none in Standard mode, where
            nothing limits them.
    """

    min: int
    max: int
    metric: ScaleMetric
    target: int
    container_concurrency: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ContainerResources:
    """Requests and limits of a container, which are the same.

    Attributes:
        cpu: Quantity of cores.
        memory: Quantity of main memory; what is in `shared_memory` counts towards it.
        gpus: Number of `nvidia.com/gpu`.
        shared_memory: Quantity of /dev/shm; none where the 64 MB of a container will do.
    """

    cpu: str
    memory: str
    gpus: int
    shared_memory: str | None


OPENAI_LIMITS = ContainerResources(cpu="1", memory="512Mi", gpus=0, shared_memory=None)
"""Of a replica of the OpenAI API: one event loop uses one core, and of memory 140 MiB were seen."""


def openai_reserved_cpu(server: ContainerResources) -> str:
    """Return the CPU that a replica of the OpenAI API reserves beside a replica of its server.

    It passes on what the server computes: a server of few cores computes few tokens.
    """
    share = millicores(server.cpu) // 4
    return f"{max(1, min(share, _OPENAI_MOST_RESERVED_MILLICORES))}m"


def scaling_of(replicas: Replicas, serving: Serving) -> Scaling:
    """Return the number of replicas, with every default filled in."""
    concurrency = None
    if serving.mode is Mode.SERVERLESS:
        concurrency = replicas.container_concurrency or serving.batch
    metric = replicas.scale_metric or METRICS[serving.mode][0]
    defaults = {ScaleMetric.CONCURRENCY: concurrency or 1, ScaleMetric.RPS: 1}
    return Scaling(
        min=replicas.min,
        max=replicas.max,
        metric=metric,
        target=replicas.scale_target or defaults.get(metric, 80),
        container_concurrency=concurrency,
    )


def demand_of(blueprint: Blueprint, model: Model, gpu: GpuSettings, serving: Serving) -> Demand:
    """Return the demand on a stack's server."""
    return Demand(
        blueprint=blueprint,
        dtype=model.dtype,
        precision=model.computed_in,
        tensor_parallel=gpu.tensor_parallel,
        pipeline_parallel=gpu.pipeline_parallel,
        load=PeakLoad(
            batch=serving.batch,
            input_length=serving.input_length,
            output_length=serving.output_length,
        ),
    )
