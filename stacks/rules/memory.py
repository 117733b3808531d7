"""Between a model, main memory and the volume."""

import re
from itertools import islice

from stacks import sizing
from stacks.engines import engine_for
from stacks.errors import Problem
from stacks.gpus import NODE_LABELS
from stacks.models import blueprint_of
from stacks.proposals import smaller_batches
from stacks.quantities import in_gib, parse_bytes, quantity
from stacks.resolved import demand_of
from stacks.rules.base import Problems, Rule
from stacks.sections import (
    AccessMode,
    GpuSettings,
    Model,
    Replicas,
    Resources,
    Scheduling,
    Serving,
    StorageSettings,
)


def _volume(storage: StorageSettings, replicas: Replicas, scheduling: Scheduling) -> Problems:
    if storage.protect and storage.delete_weights_on_destroy:
        yield Problem(
            path="storage.deleteWeightsOnDestroy",
            rule="must be false while storage.protect is true",
            got="true",
            use="false, or storage.protect false",
        )
    if storage.access_mode is AccessMode.READ_WRITE_ONCE and (
        replicas.max > 1 or scheduling.spare_gpu
    ):
        yield Problem(
            path="storage.accessMode",
            rule="must be ReadWriteMany where two replicas can run at once, "
            "because only one node can mount the volume otherwise",
            got=storage.access_mode.value,
            use="ReadWriteMany, or replicas.max 1 with scheduling.spareGpu false",
        )


def _volume_region(storage: StorageSettings, scheduling: Scheduling) -> Problems:
    """Where classes end in a region, it has to be that of the pods."""
    labels = NODE_LABELS.get(scheduling.node_labels)
    name, region = storage.storage_class, scheduling.region
    if not (labels and labels.regional_storage_classes) or name is None or region is None:
        return
    head, _, of_class = name.rpartition("-")
    if re.fullmatch(r"[a-z]{3}[0-9]", of_class) and of_class != region.lower():
        yield Problem(
            path="storage.storageClass",
            rule=f"must be of the region that pods run in, {region}",
            got=name,
            use=f"{head}-{region.lower()}",
        )


def _volume_size(
    model: Model, gpu: GpuSettings, serving: Serving, storage: StorageSettings
) -> Problems:
    blueprint, engine = blueprint_of(model), engine_for(serving.engine, gpu.model)
    if blueprint is None:
        return
    # The new one is made before the oldest goes.
    releases = storage.keep_releases + 1
    needed = sizing.storage_bytes(blueprint, model.dtype, releases, engine.compiled_bytes)
    each = sizing.release_bytes(blueprint, model.dtype) + engine.compiled_bytes
    if parse_bytes(storage.size) < needed:
        yield Problem(
            path="storage.size",
            rule="must hold the download "
            f"({in_gib(sizing.source_bytes(blueprint))}) and, while one replaces another, "
            f"{releases} releases in {model.dtype} ({in_gib(each)} each)",
            got=storage.size,
            use=f"{quantity(needed)} or more",
        )


def _main_memory(
    model: Model, gpu: GpuSettings, serving: Serving, resources: Resources
) -> Problems:
    blueprint, engine = blueprint_of(model), engine_for(serving.engine, gpu.model)
    if blueprint is None or resources.memory is None or not engine.serves_on(gpu.model):
        return
    demand, given = demand_of(blueprint, model, gpu, serving), parse_bytes(resources.memory)
    needed = engine.main_memory(demand)
    if given < needed:
        smaller = (each for each in smaller_batches(demand) if engine.main_memory(each) <= given)
        yield Problem(
            path="resources.memory",
            rule=f"must be at least the {in_gib(needed)} that the server needs",
            got=resources.memory,
            use=f"{quantity(needed)}, or leave it out"
            + "".join(f", or serving.batch {each.load.batch}" for each in islice(smaller, 1)),
        )


RULES = (
    Rule(sections=("storage", "replicas", "scheduling"), check=_volume),
    Rule(sections=("storage", "scheduling"), check=_volume_region),
    Rule(sections=("model", "gpu", "serving", "storage"), check=_volume_size),
    Rule(sections=("model", "gpu", "serving", "resources"), check=_main_memory),
)
