"""A text source that counts up from the prompt's last token, in place of vLLM's engine."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from ft_serving.core.lengths import LengthLimits
from ft_serving.server.requests.plan import Vocabulary
from ft_serving.server.vllm.engine import VllmEngine
from ft_serving.server.vllm.library import LogProbs
from ft_serving.server.vllm.sampling import Sampling

END = 9


class ScriptedSource:
    """Implements `TextSource`; remembers what it was asked and what was cancelled."""

    def __init__(self, *, step_s: float = 0.0) -> None:
        self.asked: list[Sampling] = []
        self.cancelled: list[str] = []
        self.is_dead = False
        self.is_shut_down = False
        self.failing_prompt: int | None = None
        self._step_s = step_s

    async def generate(
        self, request_id: str, prompt: Sequence[int], sampling: Sampling, *, at_once: bool
    ) -> AsyncIterator[tuple[Sequence[int], LogProbs | None]]:
        self.asked.append(sampling)
        tokens: list[int] = []
        try:
            for place in range(sampling.max_tokens):
                await asyncio.sleep(self._step_s)
                if self.is_dead or prompt[-1] == self.failing_prompt:
                    raise RuntimeError("the engine is dead")
                tokens.append(min(prompt[-1] + place + 1, END))
                if tokens[-1] == sampling.end_id:
                    break
                if not at_once:
                    yield [tokens[-1]], self._log_probs(sampling, tokens[-1:])
                    await asyncio.sleep(0)
            last = tokens if at_once else tokens[-1:] if tokens[-1] == sampling.end_id else []
            if last:
                yield last, self._log_probs(sampling, last)
        except asyncio.CancelledError:
            self.cancelled.append(request_id)
            raise

    def shutdown(self) -> None:
        self.is_shut_down = True

    @staticmethod
    def _log_probs(sampling: Sampling, tokens: Sequence[int]) -> LogProbs | None:
        if sampling.log_probs is None:
            return None
        return [{token: -0.5, token + 1: -1.5} for token in tokens]


def engine_of(
    source: ScriptedSource, *, streaming: bool = True, died: list[bool] | None = None
) -> VllmEngine:
    """An engine over a source, of a vocabulary of ten tokens."""

    async def open_source() -> ScriptedSource:
        return source

    return VllmEngine(
        open_source,
        vocabulary=Vocabulary(size=10, start_id=1, end_id=END),
        limits=LengthLimits(context_length=100_000),
        streaming=streaming,
        on_death=lambda: died.append(True) if died is not None else None,
    )
