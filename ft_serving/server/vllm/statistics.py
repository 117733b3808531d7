"""The metrics that vLLM tells of each step."""

from collections.abc import Callable, Mapping
from typing import Any

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
"""Ends of the names of counters; all others are gauges."""

OnStatistics = Callable[[Mapping[str, float]], None]
"""Is told the values of `ENGINE_METRICS` after each step: of counters what the step adds."""


class StatisticsLogger:
    """Implements vLLM's `StatLoggerBase`, whose objects have no published types."""

    def __init__(self, on_statistics: OnStatistics) -> None:
        self._on_statistics = on_statistics

    def record(
        self,
        scheduler_stats: Any,  # noqa: ANN401
        iteration_stats: Any,  # noqa: ANN401
        *_: object,
        **__: object,
    ) -> None:
        """Tell of a step."""
        if scheduler_stats is None or iteration_stats is None:
            return
        first_tokens = iteration_stats.time_to_first_tokens_iter
        values = (
            scheduler_stats.num_running_reqs,
            scheduler_stats.num_waiting_reqs,
            scheduler_stats.kv_cache_usage,
            iteration_stats.num_prompt_tokens,
            iteration_stats.num_generation_tokens,
            sum(first_tokens),
            len(first_tokens),
        )
        self._on_statistics(dict(zip(ENGINE_METRICS, values, strict=True)))

    def log_engine_initialized(self) -> None:
        """Do nothing: `opening` tells how long the start took."""

    def log(self) -> None:
        """Do nothing: there is no log of its own."""

    def record_sleep_state(self, *_: object, **__: object) -> None:
        """Do nothing: the engine never sleeps."""
