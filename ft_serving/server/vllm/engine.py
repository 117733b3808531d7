"""Computes requests with vLLM: each row is a text of its own there, and begins when it comes.

Two threads: one has vLLM's event loop, and hands on what comes out of it; the other puts tokens
into rows and tells of them. All tokens that wait for a job are told together: sending them one by
one would halve the speed with 64 clients.
"""

import asyncio
import itertools
import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ft_serving.core.lengths import LengthLimits
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.plan import RequestPlan, Vocabulary, plan_request
from ft_serving.server.requests.request import GenerationRequest
from ft_serving.server.vllm.library import LogProbs, TextSource
from ft_serving.server.vllm.row import VllmRow
from ft_serving.server.vllm.sampling import refuse_unsupported, sampling_of

SWEEP_SECONDS = 0.05
"""How often cancelled requests and a dead engine are looked for."""

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the others: three of them pass each request on,
and 64 requests that come together would wait many times Python's 5 ms."""

_ENDING_SECONDS = 5.0

_logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Text:
    """A row on its way.

    Attributes:
        job: Whose it is.
        row: What its tokens go into.
        task: What reads its tokens; None before it has begun.
    """

    job: GenerationJob
    row: VllmRow
    task: "asyncio.Task[None] | None" = None


@dataclass(frozen=True, slots=True)
class _Tokens:
    text: _Text
    tokens: Sequence[int]
    log_probs: LogProbs | None


@dataclass(frozen=True, slots=True)
class _Ended:
    """A text that gets no more tokens."""

    text: _Text


@dataclass(eq=False, slots=True)
class _Request:
    """A job that is under way, and its rows' texts."""

    job: GenerationJob
    texts: list[_Text]


class VllmEngine:
    """Implements `ft_serving.server.requests.job.ServingEngine`.

    Args:
        open_source: Starts vLLM; is called in the event loop.
        vocabulary: The model's.
        limits: How long prompts and answers may be.
        streaming: Whether jobs are to be told of tokens as they come.
        on_death: Is called once vLLM can compute nothing any more, when all jobs have ended.

    Raises:
        Exception: What `open_source` raises.
    """

    def __init__(
        self,
        open_source: Callable[[], Coroutine[Any, Any, TextSource]],
        *,
        vocabulary: Vocabulary,
        limits: LengthLimits,
        streaming: bool,
        on_death: Callable[[], None],
    ) -> None:
        self._vocabulary = vocabulary
        self._limits = limits
        self._streaming = streaming
        self._on_death = on_death
        self._names = map(str, itertools.count())
        # None ends the thread.
        self._events: queue.SimpleQueue[_Request | _Tokens | _Ended | None] = queue.SimpleQueue()
        self._requests: dict[GenerationJob, _Request] = {}
        sys.setswitchinterval(SWITCH_SECONDS)
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(
            target=self._loop.run_forever, name="vllm-loop", daemon=True
        )
        self._loop_thread.start()
        try:
            self._source = asyncio.run_coroutine_threadsafe(open_source(), self._loop).result()
        except BaseException:
            self._close_loop()
            raise
        self._sender = threading.Thread(target=self._run, name="vllm-sender", daemon=True)
        self._sender.start()

    def plan(self, request: GenerationRequest) -> RequestPlan:
        """Check a request; see `ServingEngine.plan`."""
        plan = plan_request(request, self._vocabulary, self._limits)
        refuse_unsupported(plan)
        return plan

    def submit(self, jobs: Sequence[GenerationJob]) -> None:
        """Compute jobs; see `ServingEngine.submit`."""
        for job in jobs:
            texts = [_Text(job, row) for row in job.begin(VllmRow)]
            # Before its first token.
            self._events.put(_Request(job, texts))
            for text in texts:
                self._loop.call_soon_threadsafe(self._start, text)

    def close(self) -> None:
        """Stop both threads, and vLLM's processes."""
        self._events.put(None)
        self._sender.join()
        self._source.shutdown()
        self._close_loop()

    def _close_loop(self) -> None:
        # Texts that were cancelled just now have to get there.
        asyncio.run_coroutine_threadsafe(_end_tasks(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._loop_thread.join()
        self._loop.close()

    # In the sender's thread.

    def _run(self) -> None:
        swept = time.monotonic()
        while self._take():
            now = time.monotonic()
            if now - swept < SWEEP_SECONDS:
                continue
            swept = now
            if self._source.is_dead:
                self._die()
                return
            self._sweep()

    def _take(self) -> bool:
        """Take all that has come, or wait a moment; return whether to go on."""
        told: dict[GenerationJob, None] = {}
        try:
            event = self._events.get(timeout=SWEEP_SECONDS)
            while True:
                if event is None:
                    return False
                if isinstance(event, _Tokens):
                    self._extend(event, told)
                elif isinstance(event, _Ended):
                    self._check_end(event.text)
                else:
                    self._requests[event.job] = event
                event = self._events.get_nowait()
        except queue.Empty:
            pass
        for job in told:
            if job in self._requests:
                job.tell()
                if job.is_finished:
                    self._end(job)
        return True

    def _extend(self, event: _Tokens, told: dict[GenerationJob, None]) -> None:
        text = event.text
        if text.job not in self._requests or text.row.finished:
            return
        text.row.extend(event.tokens, event.log_probs)
        told[text.job] = None
        if text.row.finished:
            # By a stop word, perhaps, of which vLLM knows nothing.
            self._stop(text)

    def _check_end(self, text: _Text) -> None:
        if text.job in self._requests and not text.row.finished:
            _logger.error("vLLM ended a text after %d tokens", text.row.lengths[0])
            self._end(text.job)

    def _sweep(self) -> None:
        for job in [job for job in self._requests if not job.is_wanted()]:
            self._end(job)

    def _end(self, job: GenerationJob) -> None:
        request = self._requests.pop(job)
        for text in request.texts:
            # A row that is finished was stopped then.
            if not text.row.finished:
                self._stop(text)
        job.end()

    def _stop(self, text: _Text) -> None:
        self._loop.call_soon_threadsafe(self._cancel, text)

    def _die(self) -> None:
        _logger.error("vLLM's engine died with %d requests under way", len(self._requests))
        while self._requests:
            self._end(next(iter(self._requests)))
        self._on_death()

    # In the event loop's thread.

    def _start(self, text: _Text) -> None:
        text.task = self._loop.create_task(self._read(text))

    def _cancel(self, text: _Text) -> None:
        # It has begun: calls from the other thread are made in their order.
        if text.task is not None:
            text.task.cancel()

    async def _read(self, text: _Text) -> None:
        row = text.row.plan
        sampling = sampling_of(row)
        at_once = not self._streaming and not row.stop_words
        try:
            async for tokens, log_probs in self._source.generate(
                next(self._names), row.prompt.tolist(), sampling, at_once=at_once
            ):
                self._events.put(_Tokens(text, tokens, log_probs))
        except Exception:
            if not self._source.is_dead:
                _logger.exception("vLLM failed to compute a text")
        self._events.put(_Ended(text))


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_ENDING_SECONDS)
