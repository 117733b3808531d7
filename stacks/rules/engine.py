"""Rules between an engine, its hardware, its formats and the images."""

import re
from collections.abc import Iterator

from ft_serving.core.dtypes import Precision
from ft_serving.core.families.base import Family
from stacks.engines import ENGINES, Engine, engine_for
from stacks.errors import Problem, any_of, shown
from stacks.gpus import GPUS, NONE
from stacks.models import family_of
from stacks.sections import GpuSettings, Images, Model, Serving

_ARGUMENT = re.compile(r"[A-Z][A-Z0-9_]*")
_PINNED = re.compile(
    r"[a-z0-9][A-Za-z0-9.:_/-]*(@sha256:[0-9a-f]{64}|:(?!latest$)[A-Za-z0-9_][A-Za-z0-9_.-]*)"
)


def _hardware(gpu: GpuSettings, serving: Serving) -> Iterator[Problem]:
    engine = engine_for(serving.engine, gpu.model)
    if engine.serves_on(gpu.model):
        return
    others = [name for name, each in ENGINES.items() if each.serves_on(gpu.model)]
    if gpu.model is None:
        yield Problem(
            "serving.engine",
            f"must be one that serves without a GPU, because gpu.type is {NONE}",
            engine.name,
            f"{any_of(others)}, or gpu.type {any_of(_gpus(engine))}",
        )
    elif not engine.on_gpus:
        rule = f"must be one that serves on GPUs, because gpu.type is {gpu.type}"
        use = ", or ".join([*others, f"gpu.type {NONE}"])
        yield Problem("serving.engine", rule, engine.name, use)
    else:
        major, minor = gpu.model.compute_capability
        engines = (f"serving.engine {name}" for name in others)
        yield Problem(
            "gpu.type",
            f"must be a GPU that engine {engine.name} has code for",
            f"{gpu.type} with compute capability {major}.{minor}",
            ", or ".join([any_of(_gpus(engine)), *engines]),
        )


def _gpus(engine: Engine) -> list[str]:
    return [name for name, gpu in GPUS.items() if engine.serves_on(gpu)]


def _format(model: Model, gpu: GpuSettings, serving: Serving) -> Iterator[Problem]:
    engine, wanted = engine_for(serving.engine, gpu.model), model.computed_in
    family = family_of(model)
    formats = [each for each in Precision if _computes(engine, gpu.type, family, each)]
    if engine.serves_on(gpu.model) and wanted not in formats:
        able = [name for name in _gpus(engine) if _computes(engine, name, family, wanted)]
        others = [
            name
            for name, each in ENGINES.items()
            if each.serves_on(gpu.model) and _computes(each, gpu.type, family, wanted)
        ]
        where = f" on {gpu.type}" if gpu.model else ""
        yield Problem(
            "model.computeDtype",
            f"must be a format that engine {engine.name} computes in{where}",
            wanted.value,
            any_of(formats)
            + (f", or gpu.type {any_of(able)}" if able else "")
            + (f", or serving.engine {any_of(others)}" if others else ""),
        )


def _computes(engine: Engine, gpu: str, family: Family, precision: Precision) -> bool:
    is_known = precision in engine.precisions(family)
    return is_known and (gpu == NONE or GPUS[gpu].supports(precision))


def _pipeline(gpu: GpuSettings, serving: Serving) -> Iterator[Problem]:
    engine = engine_for(serving.engine, gpu.model)
    if engine.serves_on(gpu.model) and not engine.pipelines and gpu.pipeline_parallel > 1:
        yield Problem(
            "gpu.pipelineParallel",
            f"must be 1 with engine {engine.name}, whose GPUs share every layer",
            str(gpu.pipeline_parallel),
            f"1, with a gpu.tensorParallel of {gpu.count} for as many GPUs",
        )


def _server_image(gpu: GpuSettings, serving: Serving, image: Images) -> Iterator[Problem]:
    engine = engine_for(serving.engine, gpu.model)
    missing = [name for name in engine.build_args if name not in image.server.args]
    if image.server.existing is None and missing:
        yield Problem(
            "image.server",
            f"must be an existing image, or built with {' and '.join(engine.build_args)}, "
            f"for engine {engine.name} (docs/images.md)",
            f"no {' and no '.join(missing)}",
            "existing: HOST/NAME@sha256:DIGEST, or those args",
        )


def _images(image: Images) -> Iterator[Problem]:
    for name in ("server", "weights", "client", "openai"):
        path, source = f"image.{name}", getattr(image, name)
        if source.existing is not None and source.args:
            yield Problem(
                path, "must be an existing image, or built with args", "both", "one of them"
            )
        for key, value in source.args.items():
            if not _ARGUMENT.fullmatch(key):
                rule = "must be named as Dockerfiles name arguments"
                yield Problem(f"{path}.args.{key}", rule, shown(key), "a name such as BASE_IMAGE")
            elif key.endswith("_IMAGE") and not _PINNED.fullmatch(value):
                rule = "must be an image by its digest, or by a tag other than latest"
                use = "HOST/NAME@sha256:DIGEST"
                yield Problem(f"{path}.args.{key}", rule, shown(value), use)


RULES = (_hardware, _format, _pipeline, _server_image, _images)
