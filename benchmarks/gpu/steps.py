"""The steps of the benchmark, each for a process of its own."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.load import Results
from benchmarks.synthetic import PUBLISHED
from ft_serving.core.dtypes import Precision
from ft_serving.server.vllm.settings import EngineSettings

TENSOR_PARALLEL = (2, 4)
"""Numbers of GPUs that share each layer, where the machine has so many."""


def steps(gpus: int) -> list[str]:
    """Return the names of all steps for a machine with so many GPUs, in their order.

    A name is `MODEL-WHAT`, with `-tpN` where N GPUs share each layer.
    """
    names = [
        f"gptj-{what}"
        for what in ("prepare", "transformers", "vllm", "triton", "openai", "fp8", "fp8-1024")
    ]
    shared = [f"-tp{size}" for size in TENSOR_PARALLEL if size <= gpus]
    names += [f"gptj-{what}{size}" for size in shared for what in ("vllm", "triton")]
    names += ["neox-prepare"]
    names += [f"neox-{what}{size}" for size in ("", *shared) for what in ("vllm", "triton")]
    return names


def run_step(name: str, work: Path, path: Path) -> None:
    """Run one of `steps`, and store its figures in a file."""
    model, _, step = name.partition("-")
    step, _, size = step.partition("-tp")
    tensor_parallel = int(size or 1)
    end = f" tp{size}" if size else ""
    run = _Run(model, work / model, Results(path))
    match step:
        case "prepare":
            run.prepare()
        case "transformers":
            run.transformers()
        case "vllm":
            run.vllm(f"vllm fp16{end}", tensor_parallel=tensor_parallel)
        case "fp8":
            run.vllm("vllm fp8", precision=Precision.FP8)
        case "fp8-1024":
            run.vllm("vllm fp8 1024", precision=Precision.FP8, batches=(1024,))
        case "triton":
            run.triton(f"triton fp16{end}", tensor_parallel)
        case "openai":
            run.openai()
        case _:
            raise SystemExit(f"Error: there is no step {name}")


@dataclass(frozen=True, slots=True)
class _Run:
    """The steps of one model.

    Attributes:
        model: Its name in `PUBLISHED`.
        work: The folder of its files.
        results: Gets the figures.
    """

    model: str
    work: Path
    results: Results

    def prepare(self) -> None:
        """Make a checkpoint with random values, and a release of it."""
        from benchmarks.gpu.checkpoint import write_random_checkpoint

        part = f"{self.model} prepare"
        begun = time.monotonic()
        write_random_checkpoint(self.work / "checkpoint", PUBLISHED[self.model])
        self.results.add(part, "checkpoint_s", round(time.monotonic() - begun, 1))
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", "from ft_serving.cli import main; main()", "weights", "prepare",
             "--repository", str(self.work / "checkpoint"), "--storage", str(self._storage),
             "--format", "huggingface", "--dtype", "fp16", "--streaming"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )  # fmt: skip
        self.results.add(part, "release_s", round(time.monotonic() - begun, 1))
        self._release.write_text(Path(done.stdout.strip()).name)

    def transformers(self) -> None:
        """Time Hugging Face's generate."""
        from benchmarks.gpu import reference

        reference.run(f"{self.model} transformers", self.work / "checkpoint", self.results)

    def vllm(
        self,
        part: str,
        *,
        batches: tuple[int, ...] = (1, 4, 8, 16, 32, 64),
        precision: Precision = Precision.FP16,
        tensor_parallel: int = 1,
    ) -> None:
        """Time vLLM alone."""
        from benchmarks.gpu import engine

        settings = EngineSettings(
            tensor_parallel=tensor_parallel, batch=max(batches), precision=precision
        )
        models = self._storage / "triton-model-store" / self._release.read_text()
        folder = models / "fastertransformer" / "1"
        engine.run(f"{self.model} {part}", folder, settings, batches, self.results)

    def triton(self, part: str, tensor_parallel: int) -> None:
        """Time vLLM behind Triton."""
        from benchmarks.gpu import server

        os.environ |= EngineSettings(tensor_parallel=tensor_parallel).to_environment()
        name = self._release.read_text()
        server.run(f"{self.model} {part}", self._storage, name, self.results)

    def openai(self) -> None:
        """Time the OpenAI API before Triton, in turns with Triton's own protocol."""
        from benchmarks.gpu import openai_api

        name = self._release.read_text()
        openai_api.run(f"{self.model} openai", self._storage, name, self.results)

    @property
    def _storage(self) -> Path:
        return self.work / "storage"

    @property
    def _release(self) -> Path:
        return self.work / "release"
