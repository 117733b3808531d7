"""Models that several GPUs share: resources, the Job's arguments and the release agree."""

import dataclasses
import functools
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.storage import MOUNT
from ft_serving.cli import app
from ft_serving.client import Completion, GenerationClient
from ft_serving.core.manifest import read_manifest
from ft_serving.core.release import ReleaseSpec
from ft_serving.server.vllm.settings import EngineSettings
from stacks.config import StackConfig
from tests.components.program import made
from tests.serving import GOLDEN, TINY_GPTJ, prepare, served
from tests.stacks.documents import DIGEST, SHIPPED, config, shipped

VARIANTS: dict[str, dict[str, Any]] = {
    "as shipped": {},
    "two GPUs, computed in fp32": {"gpu.tensorParallel": 2, "model.computeDtype": "fp32"},
    "two groups of four, stored in fp32": {
        "gpu.tensorParallel": 4,
        "gpu.pipelineParallel": 2,
        "model.dtype": "fp32",
    },
    "streaming": {"serving.streaming": True},
    "at once": {"serving.streaming": False},
}
"""Changes of whatever the release, its configuration and the server's resources must agree in."""

PIPELINES = {name for name, it in VARIANTS.items() if it.get("gpu.pipelineParallel", 1) > 1}

COMPILED = {"serving.engine": "fastertransformer", "image.server": {"existing": DIGEST}}
"""A stack that NVIDIA's backend serves."""

CASES = [
    (stack, variant, engine)
    for stack in SHIPPED
    for variant in VARIANTS
    for engine in (("cpu",) if stack == "dev" else ("vllm", "fastertransformer"))
    if not (engine == "vllm" and variant in PIPELINES)
]
"""Stacks, variants and engines that go together."""

ROOMY = {
    "gpu.type": "A100_80GB",
    "resources.memory": "64Gi",
    "scheduling.nodeLabels": "nvidia",
    "storage.size": "300Gi",
}
"""For the changes of a stack that has GPUs: its own need not hold them."""

REPLACED = {"repository", "revision", "storage", "drop-source", "input-length", "output-length"}
"""Options of the Job that say where it reads and writes, and lengths that the small model lacks."""


@pytest.mark.parametrize(("stack", "variant", "engine"), CASES)
def test_resources_release_and_the_job_s_arguments_agree(
    stack: str, variant: str, engine: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    changes = VARIANTS[variant]
    if engine != "cpu":
        roomy = ROOMY if changes else {}
        changes = {**roomy, **changes, **(COMPILED if engine == "fastertransformer" else {})}
    chosen = config(shipped(stack), changes)
    assert chosen.engine.name == engine
    server, job = container("InferenceService", chosen), container("ModelDownload", chosen)
    options = dict(it.removeprefix("--").partition("=")[::2] for it in job["args"][1:])
    spec = prepared(
        tuple(it for it in job["args"] if it.removeprefix("--").partition("=")[0] not in REPLACED),
        tmp_path_factory.getbasetemp() / "parallelism",
    )
    whole = dataclasses.replace(
        spec,
        repository=options["repository"],
        revision=options["revision"],
        input_length=int(options["input-length"]),
        output_length=int(options["output-length"]),
    )
    assert whole == chosen.release
    asked = int(server["resources"]["limits"].get("nvidia.com/gpu", 0))
    if engine == "vllm":
        # The release is for any number; the server is told.
        variables = {it["name"]: it["value"] for it in server["env"]}
        assert EngineSettings.from_environment(variables).tensor_parallel == asked
    else:
        gpus = spec.tensor_parallel * spec.pipeline_parallel
        assert asked == (gpus if chosen.gpu.model else 0), (
            "the backend refuses GPUs that it cannot divide, and waits for ever for those it lacks"
        )
    [served_from] = [it.removeprefix("--model-repository=") for it in server["args"]]
    assert served_from == f"{options['storage']}/triton-model-store/{whole.name}"
    assert {mount(server), mount(job)} == {options["storage"]} == {MOUNT}, (
        "the path in config.pbtxt is the Job's, and holds in the server"
    )


def container(component: str, chosen: StackConfig) -> dict[str, Any]:
    """Return the first container that a component makes of a configuration."""
    recording = made(component, chosen)
    if component == "InferenceService":
        spec = recording.one("v1beta1:InferenceService").inputs["spec"]["predictor"]
    else:
        spec = recording.one("v1:Job", "it").inputs["spec"]["template"]["spec"]
    return dict(spec["containers"][0])


def mount(container: dict[str, Any]) -> str:
    """Return where a container has the volume of releases."""
    (path,) = [it["mountPath"] for it in container["volumeMounts"] if it["mountPath"] == MOUNT]
    return str(path)


@functools.cache
def prepared(arguments: tuple[str, ...], storage: Path) -> ReleaseSpec:
    """Run what a Job runs, on a model that is small enough; return what its manifest says."""
    whole = ["weights", *arguments, "--repository", str(TINY_GPTJ), "--storage", str(storage)]
    done = CliRunner().invoke(app, whole)
    assert done.exit_code == 0, done.output
    return read_manifest(Path(done.stdout.splitlines()[-1])).spec


@pytest.mark.slow
def test_every_tensor_parallel_size_serves_the_same(tmp_path: Path) -> None:
    one, four = answer(tmp_path, 1), answer(tmp_path, 4)
    assert list(one.output_ids) == GOLDEN["output_ids"] == list(four.output_ids)
    assert four.log_probs == pytest.approx(one.log_probs, abs=1e-4)


def answer(storage: Path, size: int) -> Completion:
    """Return the golden question's answer by a release of a tensor parallel size."""
    release = prepare(storage, "--tensor-parallel", str(size))
    with (
        served(storage, release) as server,
        GenerationClient(f"http://{server.http}", wait_s=0) as client,
    ):
        [[completion]] = client.generate_ids(
            [GOLDEN["input_ids"]],
            output_length=GOLDEN["request_output_len"],
            log_probs=True,
        )
    return completion
