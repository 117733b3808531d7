"""Computes requests with vLLM; each row is a text of its own there, and begins at once.

One thread runs vLLM's event loop and passes tokens to another, which puts them into rows and tells
of them. All tokens that wait for a job are told together: sent one by one, they would halve the
speed with 64 clients.

A thread that wakes the loop gives up the interpreter, and may get it back only after
`SWITCH_SECONDS`. So requests that come together wake it once.
"""

import asyncio
import itertools
import logging
import queue
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from ft_serving.core.lengths import LengthLimits
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.plan import RequestPlan, Vocabulary, plan_request
from ft_serving.server.requests.request import GenerationRequest
from ft_serving.server.vllm.library import LogProbs, TextSource
from ft_serving.server.vllm.sampling import VllmRow, refuse_unsupported, sampling_of

SWEEP_SECONDS = 0.05
"""The sender looks for cancelled requests and a dead engine so often."""

SWITCH_SECONDS = 0.0005
"""A thread may keep the interpreter from the others so long. Three threads pass each request on;
64 requests that come together would wait many times Python's 5 ms."""

_ENDING_SECONDS = 5.0

_logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Text:
    """A row that vLLM computes.

    Attributes:
        job: The row's request.
        row: Gets the tokens.
        task: Reads them; None before it has begun.
    """

    job: GenerationJob
    row: VllmRow
    task: "asyncio.Task[None] | None" = None


_Event = tuple[_Text, Sequence[int], LogProbs | None]
"""New tokens of a text; none where it gets no more."""


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
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._texts: dict[GenerationJob, list[_Text]] = {}
        self._starting: deque[_Text] = deque()
        self._is_woken = False
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
            self._texts[job] = texts = [_Text(job, row) for row in job.begin(VllmRow)]
            self._starting.extend(texts)
        # The loop takes this back before it looks for texts, so none is overlooked.
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._start)

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
            for job in [job for job in list(self._texts) if not job.is_wanted()]:
                self._end(job)

    def _take(self) -> bool:
        """Take all that has come, or wait a moment; return whether to go on."""
        told: dict[GenerationJob, None] = {}
        try:
            event = self._events.get(timeout=SWEEP_SECONDS)
            while event is not None:
                text, tokens, log_probs = event
                # Not of a request that has ended, or behind a stop word, which vLLM does not know.
                if text.job in self._texts and not text.row.finished:
                    self._extend(text, tokens, log_probs)
                    told[text.job] = None
                event = self._events.get_nowait()
        except queue.Empty:
            for job in told:
                if job in self._texts:
                    job.tell()
                    if job.is_finished:
                        self._end(job)
            return True
        return False

    def _extend(self, text: _Text, tokens: Sequence[int], log_probs: LogProbs | None) -> None:
        if not tokens:
            _logger.error("vLLM ended a text after %d tokens", text.row.lengths[0])
            self._end(text.job)
            return
        text.row.extend(tokens, log_probs)
        if text.row.finished and text.row.plan.stop_words:
            self._stop(text)

    def _end(self, job: GenerationJob) -> None:
        for text in self._texts.pop(job):
            if not text.row.finished:
                self._stop(text)
        job.end()

    def _stop(self, text: _Text) -> None:
        self._loop.call_soon_threadsafe(self._cancel, text)

    def _die(self) -> None:
        _logger.error("vLLM's engine died with %d requests under way", len(self._texts))
        while self._texts:
            self._end(next(iter(self._texts)))
        self._on_death()

    # In the event loop's thread.

    def _start(self) -> None:
        self._is_woken = False
        while self._starting:
            text = self._starting.popleft()
            # A request that was cancelled meanwhile is there no more.
            if text.job in self._texts:
                text.task = self._loop.create_task(self._read(text))

    def _cancel(self, text: _Text) -> None:
        if text.task is not None:
            text.task.cancel()

    async def _read(self, text: _Text) -> None:
        row = text.row.plan
        at_once = not self._streaming and not row.stop_words
        try:
            async for tokens, log_probs in self._source.generate(
                next(self._names), row.prompt.tolist(), sampling_of(row), at_once=at_once
            ):
                self._events.put((text, tokens, log_probs))
        except Exception:
            if not self._source.is_dead:
                _logger.exception("vLLM failed to compute a text")
        self._events.put((text, (), None))


async def _end_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_ENDING_SECONDS)
