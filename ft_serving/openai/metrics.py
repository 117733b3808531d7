"""Prometheus metrics of this server."""

import time
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SECONDS_PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Meters:
    """The metrics of one endpoint; only `requests` has yet to be given its labels."""

    endpoint: str
    requests: Counter
    prompt_tokens: Counter
    generation_tokens: Counter
    first_token: Histogram
    per_token: Histogram
    duration: Histogram


class Metrics:
    """Requests, tokens and times, by endpoint."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        endpoint = ("endpoint",)
        self._requests = Counter(
            "openai_requests",
            "Requests by endpoint and HTTP status; 499 is a client that went away.",
            ("endpoint", "status"),
            registry=registry,
        )
        self._prompt_tokens = Counter(
            "openai_prompt_tokens", "Tokens of prompts.", endpoint, registry=registry
        )
        self._generation_tokens = Counter(
            "openai_generation_tokens", "Tokens generated.", endpoint, registry=registry
        )
        self._first_token = Histogram(
            "openai_time_to_first_token_seconds",
            "Time from a request to the first token of each text.",
            endpoint,
            buckets=_SECONDS,
            registry=registry,
        )
        self._per_token = Histogram(
            "openai_time_per_output_token_seconds",
            "Time from the first to the last token of each text, divided by the tokens between.",
            endpoint,
            buckets=_SECONDS_PER_TOKEN,
            registry=registry,
        )
        self._duration = Histogram(
            "openai_request_duration_seconds",
            "Time from a request to the end of its answer.",
            endpoint,
            buckets=_SECONDS,
            registry=registry,
        )

    def endpoint(self, path: str) -> Meters:
        """Return those of one endpoint."""
        # To look a label up takes longer than to count.
        return Meters(
            endpoint=path,
            requests=self._requests,
            prompt_tokens=self._prompt_tokens.labels(path),
            generation_tokens=self._generation_tokens.labels(path),
            first_token=self._first_token.labels(path),
            per_token=self._per_token.labels(path),
            duration=self._duration.labels(path),
        )

    def text(self) -> bytes:
        """Return all of them in Prometheus's format."""
        return generate_latest(self._registry)


class Watch:
    """Measures one request."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._began = time.monotonic()
        self._texts: dict[int, tuple[float, int]] = {}

    def prompt(self, count: int) -> None:
        """Count the tokens of the prompts."""
        self._meters.prompt_tokens.inc(count)

    def tokens(self, text: int, count: int) -> None:
        """Count tokens that came to a text."""
        if not count:
            return
        self._meters.generation_tokens.inc(count)
        if text not in self._texts:
            now = time.monotonic()
            self._texts[text] = now, count
            self._meters.first_token.observe(now - self._began)

    def text_end(self, text: int, count: int) -> None:
        """Count a text that has so many tokens."""
        first, at_first = self._texts.get(text, (0.0, count))
        if count > at_first:
            self._meters.per_token.observe((time.monotonic() - first) / (count - at_first))

    def end(self, status: HTTPStatus | int) -> None:
        """Count the request."""
        self._meters.requests.labels(self._meters.endpoint, int(status)).inc()
        self._meters.duration.observe(time.monotonic() - self._began)
