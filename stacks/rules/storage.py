"""Rules between a model, main memory and the volume."""

import re
from collections.abc import Iterator

from stacks import sizing
from stacks.engines import engine_for
from stacks.errors import Problem
from stacks.gpus import NODE_LABELS
from stacks.models import blueprint_of
from stacks.quantities import in_gib, parse_bytes, quantity
from stacks.resolved import demand_of
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


def _volume(
    storage: StorageSettings, replicas: Replicas, scheduling: Scheduling
) -> Iterator[Problem]:
    if storage.protect and storage.delete_weights_on_destroy:
        rule = "must be false while storage.protect is true"
        yield Problem(
            "storage.deleteWeightsOnDestroy", rule, "true", "false, or storage.protect false"
        )
    one_node = storage.access_mode is AccessMode.READ_WRITE_ONCE
    if one_node and (replicas.max > 1 or scheduling.spare_gpu):
        yield Problem(
            "storage.accessMode",
            "must be ReadWriteMany where two replicas can run at once, because only one node can "
            "mount the volume otherwise",
            storage.access_mode.value,
            "ReadWriteMany, or replicas.max 1 with scheduling.spareGpu false",
        )


def _volume_region(storage: StorageSettings, scheduling: Scheduling) -> Iterator[Problem]:
    """Refuse a class that ends in another region than that of the pods."""
    labels = NODE_LABELS.get(scheduling.node_labels)
    name, region = storage.storage_class, scheduling.region
    if not (labels and labels.regional_storage_classes) or name is None or region is None:
        return
    head, _, of_class = name.rpartition("-")
    if re.fullmatch(r"[a-z]{3}[0-9]", of_class) and of_class != region.lower():
        rule = f"must be of the region that pods run in, {region}"
        yield Problem("storage.storageClass", rule, name, f"{head}-{region.lower()}")


def _volume_size(
    model: Model, gpu: GpuSettings, serving: Serving, storage: StorageSettings
) -> Iterator[Problem]:
    blueprint, engine = blueprint_of(model), engine_for(serving.engine, gpu.model)
    if blueprint is None:
        return
    # The new one is made before the oldest goes.
    releases = storage.keep_releases + 1
    needed = sizing.storage_bytes(blueprint, model.dtype, releases, engine.compiled_bytes)
    each = sizing.release_bytes(blueprint, model.dtype) + engine.compiled_bytes
    if parse_bytes(storage.size) < needed:
        yield Problem(
            "storage.size",
            f"must hold the download ({in_gib(sizing.source_bytes(blueprint))}) and, while one "
            f"replaces another, {releases} releases in {model.dtype} ({in_gib(each)} each)",
            storage.size,
            f"{quantity(needed)} or more",
        )


def _main_memory(
    model: Model, gpu: GpuSettings, serving: Serving, resources: Resources
) -> Iterator[Problem]:
    blueprint, engine = blueprint_of(model), engine_for(serving.engine, gpu.model)
    if blueprint is None or resources.memory is None or not engine.serves_on(gpu.model):
        return
    demand, given = demand_of(blueprint, model, gpu, serving), parse_bytes(resources.memory)
    needed = engine.main_memory(demand)
    if given < needed:
        rule = f"must be at least the {in_gib(needed)} that the server needs"
        use = f"{quantity(needed)}, or leave it out"
        for smaller in demand.smaller_batches():
            if engine.main_memory(smaller) <= given:
                use += f", or serving.batch {smaller.load.batch}"
                break
        yield Problem("resources.memory", rule, resources.memory, use)


RULES = (_volume, _volume_region, _volume_size, _main_memory)
