"""Measures how fast a served model answers so many requests at once."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_serving.client.client import GenerationClient
from ft_serving.client.tensors import Tokens
from ft_serving.core.errors import FtServingError
from ft_serving.core.parameters import Parameters

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A request: seconds to its last token or error, and, of a stream, to its first token."""

    latency_s: float
    first_token_s: float | None = None
    tokens: int = 0
    error: str | None = None

    @property
    def time_per_token_s(self) -> float | None:
        """Seconds a token; where tokens are streamed, a token behind the first."""
        if self.first_token_s is None:
            return self.latency_s / self.tokens if self.tokens else None
        if self.tokens < 2:
            return None
        return (self.latency_s - self.first_token_s) / (self.tokens - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """So many requests at once; `seconds` from the first request to the last answer."""

    concurrency: int
    seconds: float
    samples: tuple[Sample, ...]

    @property
    def good(self) -> tuple[Sample, ...]:
        """The requests that were answered."""
        return tuple(sample for sample in self.samples if sample.error is None)

    @property
    def errors(self) -> Counter[str]:
        """The messages of errors, and how often each came."""
        return Counter(sample.error for sample in self.samples if sample.error is not None)

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens of all requests together."""
        return sum(sample.tokens for sample in self.good) / self.seconds

    def percentiles(self, quantity: str) -> dict[str, float] | None:
        """Return percentiles of an attribute of `Sample` by name (`p50`); None if none has it."""
        values = [getattr(sample, quantity) for sample in self.good]
        known = [value for value in values if value is not None]
        if not known:
            return None
        found = np.percentile(known, PERCENTILES)
        return {f"p{p}": round(float(v), 6) for p, v in zip(PERCENTILES, found, strict=True)}

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, fit for JSON; seconds where the name ends in _s."""
        return {
            "concurrency": self.concurrency,
            "requests": len(self.samples),
            "errors": dict(self.errors),
            "seconds": round(self.seconds, 6),
            "tokens": sum(sample.tokens for sample in self.good),
            "tokens_per_second": round(self.tokens_per_second, 3),
            **{
                quantity: self.percentiles(quantity)
                for quantity in ("first_token_s", "time_per_token_s", "latency_s")
            },
        }


def measure(
    client: GenerationClient,
    prompts: Sequence[Tokens],
    parameters: Parameters,
    *,
    concurrency: int,
    requests: int,
    seconds: float,
) -> Level:
    """Send requests of one prompt each, so many at once, and time them.

    Args:
        client: Should not wait for a server that is gone, because the wait would be measured.
        prompts: Token ids, taken in turn.
        parameters: Those of every request.
        concurrency: Requests at once.
        requests: Requests in all.
        seconds: Time after which no request is begun any more.
    """
    samples: list[Sample] = []
    numbers = itertools.count()
    begin = time.perf_counter()

    def work() -> None:
        while time.perf_counter() - begin < seconds and (number := next(numbers)) < requests:
            samples.append(_sample(client, prompts[number % len(prompts)], parameters))

    # Daemons, because Ctrl-C should not wait for their last answers.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(concurrency)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - begin
    return Level(concurrency=concurrency, seconds=elapsed, samples=tuple(samples))


def _sample(client: GenerationClient, prompt: Tokens, parameters: Parameters) -> Sample:
    begin = time.perf_counter()
    first = None
    tokens = 0
    try:
        if client.model().decoupled:
            for new in client.stream_ids(prompt, **parameters):
                first = first or time.perf_counter() - begin
                tokens += len(new)
        else:
            [[completion]] = client.generate_ids([prompt], **parameters)
            tokens = len(completion.output_ids)
    except FtServingError as exc:
        return Sample(latency_s=time.perf_counter() - begin, error=str(exc))
    return Sample(latency_s=time.perf_counter() - begin, first_token_s=first, tokens=tokens)
