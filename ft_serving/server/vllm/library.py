"""Starts vLLM and generates with it; the only module that imports it.

Two names here are not part of vLLM's documented interface: `SamplingParams._bad_words_token_ids`,
because bad words exist there as text only, and `AsyncLLM.errored`.
"""

import gc
import locale
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ft_serving.core.dtypes import Precision
from ft_serving.server.errors import ServerError
from ft_serving.server.requests.plan import MOST_TOP_K
from ft_serving.server.vllm.compile_cache import use_caches
from ft_serving.server.vllm.sampling import Sampling
from ft_serving.server.vllm.settings import KNOWN_VERSIONS, EngineSettings
from ft_serving.server.vllm.statistics import OnStatistics, StatisticsLogger

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "VLLM_NO_USAGE_STATS": "1",
    # FlashInfer is not installed, and without it the default sampler raises ImportError.
    "VLLM_USE_FLASHINFER_SAMPLER": "0",
}

_DTYPES = {
    Precision.FP32: "float32",
    Precision.FP16: "float16",
    Precision.BF16: "bfloat16",
    Precision.FP8: "float16",
}

LogProbs = Sequence[Mapping[int, float]]
"""For each token, log probabilities by token: its own, and those of the likeliest."""


class TextSource(Protocol):
    """The part of vLLM that the engine uses; tests have a scripted one."""

    @property
    def is_dead(self) -> bool:
        """True once it can compute nothing any more."""
        ...

    def generate(
        self, request_id: str, prompt: Sequence[int], sampling: Sampling, *, at_once: bool
    ) -> AsyncIterator[tuple[Sequence[int], LogProbs | None]]:
        """Generate one text.

        Args:
            request_id: Of no other request.
            prompt: Token ids.
            sampling: The parameters of the draws.
            at_once: Whether to yield the whole text at its end, and nothing before.

        Yields:
            New tokens, with their log probabilities where they are wanted.
        """
        ...

    def shutdown(self) -> None:
        """End all processes."""
        ...


def import_vllm() -> None:
    """Import vLLM, which takes long.

    Raises:
        ServerError: It is not installed, or a version that is not known here.
    """
    # Triton's stub would open files as ASCII; vLLM's compiled graphs then fail to load, and are
    # compiled anew at each start.
    locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    use_caches(os.environ)
    # Of a million objects that stay, a third of the time would go into looking for garbage.
    gc.disable()
    try:
        import vllm
        import vllm.v1.engine.async_llm
    except ImportError as exc:
        raise ServerError(f"vLLM cannot be imported: {exc}") from exc
    finally:
        gc.enable()
        gc.freeze()
    if vllm.__version__ not in KNOWN_VERSIONS:
        raise ServerError(
            f"vLLM {vllm.__version__} is installed; this server knows {', '.join(KNOWN_VERSIONS)}"
        )


async def open_vllm(
    folder: Path,
    settings: EngineSettings,
    longest: int,
    on_statistics: OnStatistics,
) -> TextSource:
    """Start vLLM's engine, in processes of its own.

    Args:
        folder: Directly contains config.json and the safetensors files.
        settings: The use of the GPUs.
        longest: Tokens of prompt and answer together.
        on_statistics: Is told of each step.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    arguments = AsyncEngineArgs(
        model=str(folder),
        load_format="safetensors",
        # Prompts and texts are token ids throughout, and all sampling is the request's.
        skip_tokenizer_init=True,
        generation_config="vllm",
        dtype=_DTYPES[settings.precision],
        quantization="fp8" if settings.precision is Precision.FP8 else None,
        tensor_parallel_size=settings.tensor_parallel,
        max_model_len=longest,
        max_num_seqs=settings.batch,
        max_num_batched_tokens=settings.batched_tokens,
        cudagraph_capture_sizes=settings.graph_sizes,
        kv_cache_memory_bytes=settings.cache_bytes,
        # Told the bytes, it goes by them; but where less than this share of the GPU is free it does
        # not start.
        gpu_memory_utilization=0.9 if settings.cache_bytes is None else 0.01,
        max_logprobs=MOST_TOP_K,
        # Its own loggers cost time in each step; the one below takes their place.
        disable_log_stats=True,
    )
    llm = AsyncLLM.from_engine_args(
        arguments, stat_loggers=[lambda *_: StatisticsLogger(on_statistics)]
    )
    return _Vllm(llm)


class _Vllm:
    """Implements `TextSource`."""

    def __init__(self, llm: Any) -> None:  # noqa: ANN401
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        self._llm = llm
        self._parameters = SamplingParams
        self._delta, self._final = RequestOutputKind.DELTA, RequestOutputKind.FINAL_ONLY

    @property
    def is_dead(self) -> bool:
        return bool(self._llm.errored)

    async def generate(
        self, request_id: str, prompt: Sequence[int], sampling: Sampling, *, at_once: bool
    ) -> AsyncIterator[tuple[Sequence[int], LogProbs | None]]:
        parameters = self._parameters(
            max_tokens=sampling.max_tokens,
            min_tokens=sampling.min_tokens,
            stop_token_ids=[sampling.end_id],
            ignore_eos=True,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            repetition_penalty=sampling.repetition_penalty,
            seed=sampling.seed,
            logprobs=sampling.log_probs,
            detokenize=False,
            output_kind=self._final if at_once else self._delta,
        )
        if sampling.bad_words:
            parameters._bad_words_token_ids = [list(word) for word in sampling.bad_words]
        prompts = {"prompt_token_ids": list(prompt)}
        async for output in self._llm.generate(prompts, parameters, request_id):
            [text] = output.outputs
            if not text.token_ids:
                continue
            log_probs = None
            if sampling.log_probs is not None:
                log_probs = [
                    {token: each.logprob for token, each in step.items()} for step in text.logprobs
                ]
            yield text.token_ids, log_probs

    def shutdown(self) -> None:
        self._llm.shutdown()
