"""Prometheus metrics of this server."""

import time
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SECONDS_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """Requests, tokens and times, by endpoint."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        endpoint = ("endpoint",)
        self.requests = Counter(
            "openai_requests",
            "Requests by endpoint and HTTP status; 499 is a client that went away.",
            ("endpoint", "status"),
            registry=registry,
        )
        self.prompt_tokens = Counter(
            "openai_prompt_tokens", "Tokens of prompts.", endpoint, registry=registry
        )
        self.generation_tokens = Counter(
            "openai_generation_tokens", "Tokens generated.", endpoint, registry=registry
        )
        self.first_token = Histogram(
            "openai_time_to_first_token_seconds",
            "Time from a request to the first token of each text.",
            endpoint,
            buckets=_SECONDS,
            registry=registry,
        )
        self.per_token = Histogram(
            "openai_time_per_output_token_seconds",
            "Time from the first to the last token of each text, divided by the tokens between.",
            endpoint,
            buckets=_SECONDS_PER_TOKEN,
            registry=registry,
        )
        self.duration = Histogram(
            "openai_request_duration_seconds",
            "Time from a request to the end of its answer.",
            endpoint,
            buckets=_SECONDS,
            registry=registry,
        )

    def text(self) -> bytes:
        """Return all of them in Prometheus's format."""
        return generate_latest(self._registry)


class Watch:
    """Measures one request."""

    def __init__(self, metrics: Metrics, endpoint: str) -> None:
        self._metrics = metrics
        self._endpoint = endpoint
        self._generated = metrics.generation_tokens.labels(endpoint)
        self._began = time.monotonic()
        self._texts: dict[int, tuple[float, int]] = {}

    def prompt(self, count: int) -> None:
        """Count the tokens of the prompts."""
        self._metrics.prompt_tokens.labels(self._endpoint).inc(count)

    def tokens(self, text: int, count: int) -> None:
        """Count tokens that came to a text."""
        if not count:
            return
        self._generated.inc(count)
        if text not in self._texts:
            now = time.monotonic()
            self._texts[text] = now, count
            self._metrics.first_token.labels(self._endpoint).observe(now - self._began)

    def text_end(self, text: int, count: int) -> None:
        """Count a text that has so many tokens."""
        first, at_first = self._texts.get(text, (0.0, count))
        if count > at_first:
            spent = (time.monotonic() - first) / (count - at_first)
            self._metrics.per_token.labels(self._endpoint).observe(spent)

    def end(self, status: HTTPStatus | int) -> None:
        """Count the request."""
        self._metrics.requests.labels(self._endpoint, int(status)).inc()
        self._metrics.duration.labels(self._endpoint).observe(time.monotonic() - self._began)
