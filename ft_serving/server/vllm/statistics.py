"""What vLLM tells of each step, and the metrics that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass

ENGINE_METRICS = {
    "vllm:num_requests_running": "Texts that are computed",
    "vllm:num_requests_waiting": "Texts that wait for room",
    "vllm:kv_cache_usage_perc": "Share of the cache of keys and values that is taken, 0 to 1",
    "vllm:prompt_tokens_total": "Prompt tokens computed",
    "vllm:generation_tokens_total": "Tokens generated",
    "vllm:time_to_first_token_seconds_sum": "Seconds from requests to their first tokens",
    "vllm:time_to_first_token_seconds_count": "Texts that have their first token",
}
"""Names and descriptions; the names are those of vLLM's own server."""

COUNTER_ENDS = ("_total", "_sum", "_count")
"""How the names of counters end; all others are gauges."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """A step.

    Attributes:
        running: Texts that are computed.
        waiting: Texts that wait for room.
        cache_use: Share of the cache of keys and values that is taken, from 0 to 1.
        prompt_tokens: Prompt tokens of this step.
        generated_tokens: Tokens generated in this step.
        first_token_s: Seconds from request to first token, of each text that got it in this step.
    """

    running: int
    waiting: int
    cache_use: float
    prompt_tokens: int
    generated_tokens: int
    first_token_s: tuple[float, ...]

    def metrics(self) -> Mapping[str, float]:
        """Return the values of `ENGINE_METRICS`: of counters what this step adds."""
        values = (
            self.running,
            self.waiting,
            self.cache_use,
            self.prompt_tokens,
            self.generated_tokens,
            sum(self.first_token_s),
            len(self.first_token_s),
        )
        return dict(zip(ENGINE_METRICS, values, strict=True))
