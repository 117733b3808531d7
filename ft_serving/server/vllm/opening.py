"""Opens a release in Hugging Face's layout with vLLM."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ft_serving.core.families import read_architecture
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseFormat
from ft_serving.core.units import format_duration
from ft_serving.server.requests.plan import Vocabulary
from ft_serving.server.vllm.compile_cache import compile_cache
from ft_serving.server.vllm.engine import VllmEngine
from ft_serving.server.vllm.gpu import require_gpus
from ft_serving.server.vllm.library import import_vllm, open_vllm
from ft_serving.server.vllm.settings import EngineSettings
from ft_serving.server.vllm.statistics import OnStatistics

_LAST_ANSWERS_SECONDS = 1.0
"""Errors take so long, at most, from this process through Triton to clients."""


def open_vllm_engine(
    checkpoint: Path,
    limits: LengthLimits,
    *,
    streaming: bool,
    check: Callable[[], object],
    on_statistics: OnStatistics,
) -> VllmEngine:
    """Open the weights in a folder, on the GPUs that the environment names.

    Args:
        checkpoint: Directly contains config.json and the safetensors files.
        limits: How long prompts and answers may be.
        streaming: Whether answers are sent token by token.
        check: Raises where the release is damaged; runs beside the start.
        on_statistics: Is told of each step.

    Raises:
        ServerError: There is no GPU, or no vLLM; or settings make no sense.
        FtServingError: config.json describes no model that is known here.
        ReleaseError: `check` raised it.
    """
    settings = EngineSettings.from_environment(os.environ)
    require_gpus(settings.tensor_parallel)
    config_json = (checkpoint / "config.json").read_bytes()
    _, architecture = read_architecture(config_json, ReleaseFormat.HUGGINGFACE)
    longest = architecture.context
    if limits.input_length is not None and limits.output_length is not None:
        longest = min(longest, limits.input_length + limits.output_length)
    begun = time.monotonic()
    with ThreadPoolExecutor(1) as pool, compile_cache(os.environ):
        checked = pool.submit(check)
        import_vllm()
        imported = time.monotonic()
        engine = VllmEngine(
            partial(open_vllm, checkpoint, settings, longest, on_statistics),
            vocabulary=Vocabulary(
                size=architecture.vocabulary,
                start_id=architecture.start_id,
                end_id=architecture.end_id,
            ),
            limits=limits,
            streaming=streaming,
            on_death=_leave,
        )
        opened = time.monotonic()
        try:
            checked.result()
        except BaseException:
            engine.close()
            raise
    with Progress() as progress:
        progress.say(
            f"vLLM: imported in {format_duration(imported - begun)}, started in "
            f"{format_duration(opened - imported)}, waited "
            f"{format_duration(time.monotonic() - opened)} for the weights' hashes"
        )
    return engine


def _leave() -> None:
    """End this process once the errors are sent: the server's watchdog then ends the server."""
    time.sleep(_LAST_ANSWERS_SECONDS)
    os._exit(1)
