"""Between an engine, what it computes on and in, and its image."""

from ft_serving.core.dtypes import Precision
from stacks.engines import ENGINES, Engine, engine_for
from stacks.errors import Problem, any_of
from stacks.gpus import GPUS, NONE
from stacks.rules.base import Problems, Rule
from stacks.sections import GpuSettings, Images, Model, Serving


def _hardware(gpu: GpuSettings, serving: Serving) -> Problems:
    engine = engine_for(serving.engine, gpu.model)
    if engine.serves_on(gpu.model):
        return
    others = [name for name, each in ENGINES.items() if each.serves_on(gpu.model)]
    if gpu.model is None:
        yield Problem(
            path="serving.engine",
            rule=f"must be one that serves without a GPU, because gpu.type is {NONE}",
            got=engine.name,
            use=f"{any_of(others)}, or gpu.type {any_of(_gpus(engine))}",
        )
    elif not engine.on_gpus:
        yield Problem(
            path="serving.engine",
            rule=f"must be one that serves on GPUs, because gpu.type is {gpu.type}",
            got=engine.name,
            use=", or ".join([*others, f"gpu.type {NONE}"]),
        )
    else:
        major, minor = gpu.model.compute_capability
        yield Problem(
            path="gpu.type",
            rule=f"must be a GPU that engine {engine.name} has code for",
            got=f"{gpu.type} with compute capability {major}.{minor}",
            use=", or ".join(
                [any_of(_gpus(engine)), *(f"serving.engine {name}" for name in others)]
            ),
        )


def _gpus(engine: Engine) -> list[str]:
    return [name for name, gpu in GPUS.items() if engine.serves_on(gpu)]


def _format(model: Model, gpu: GpuSettings, serving: Serving) -> Problems:
    engine, wanted = engine_for(serving.engine, gpu.model), model.computed_in
    formats = [each for each in Precision if _computes(engine, gpu.type, each)]
    if engine.serves_on(gpu.model) and wanted not in formats:
        able = [name for name in _gpus(engine) if _computes(engine, name, wanted)]
        others = [
            name
            for name, each in ENGINES.items()
            if each.serves_on(gpu.model) and _computes(each, gpu.type, wanted)
        ]
        yield Problem(
            path="model.computeDtype",
            rule=f"must be a format that engine {engine.name} computes in"
            + (f" on {gpu.type}" if gpu.model else ""),
            got=wanted.value,
            use=any_of(formats)
            + (f", or gpu.type {any_of(able)}" if able else "")
            + (f", or serving.engine {any_of(others)}" if others else ""),
        )


def _computes(engine: Engine, gpu: str, precision: Precision) -> bool:
    return precision in engine.precisions and (gpu == NONE or GPUS[gpu].supports(precision))


def _pipeline(gpu: GpuSettings, serving: Serving) -> Problems:
    engine = engine_for(serving.engine, gpu.model)
    if engine.serves_on(gpu.model) and not engine.pipelines and gpu.pipeline_parallel > 1:
        yield Problem(
            path="gpu.pipelineParallel",
            rule=f"must be 1 with engine {engine.name}, whose GPUs share every layer",
            got=str(gpu.pipeline_parallel),
            use=f"1, with a gpu.tensorParallel of {gpu.count} for as many GPUs",
        )


def _image(gpu: GpuSettings, serving: Serving, image: Images) -> Problems:
    engine = engine_for(serving.engine, gpu.model)
    missing = [name for name in engine.build_args if name not in image.server.args]
    if image.server.existing is None and missing:
        yield Problem(
            path="image.server",
            rule=f"must be an existing image, or built with {' and '.join(engine.build_args)}, "
            f"for engine {engine.name} (docs/images.md)",
            got=f"no {' and no '.join(missing)}",
            use="existing: HOST/NAME@sha256:DIGEST, or those args",
        )


RULES = (
    Rule(sections=("gpu", "serving"), check=_hardware),
    Rule(sections=("model", "gpu", "serving"), check=_format),
    Rule(sections=("gpu", "serving"), check=_pipeline),
    Rule(sections=("gpu", "serving", "image"), check=_image),
)
