"""Requests to a deployed service that do not stop while something is done to it."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ft_serving.client import GenerationClient
from ft_serving.core.errors import FtServingError


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What became of one request.

    Attributes:
        began: When it was sent, by `time.monotonic`.
        ended: When its answer or its error came.
        is_right: Whether the answer was the expected one.
        error: What the client raised instead of an answer.
    """

    began: float
    ended: float
    is_right: bool = False
    error: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """What became of all requests.

    Attributes:
        sent: How many there were.
        right: How many had the expected answer.
        wrong: How many had another one.
        failed: How many had none, by the client's message.
        longest_gap_s: The longest time in which no right answer came, beginning and end included.
        slowest_s: The longest that one right answer took.
    """

    sent: int
    right: int
    wrong: int
    failed: Counter[str]
    longest_gap_s: float
    slowest_s: float


class Load:
    """Asks one question again and again, so many at once, while its context is open.

    Every worker sends its next request when it has the answer to the last one.
    """

    def __init__(
        self,
        client: GenerationClient,
        prompt: Sequence[int],
        expected: Sequence[int],
        *,
        concurrency: int = 2,
    ) -> None:
        """Sends nothing yet.

        Args:
            client: Whom to ask through; it is left open.
            prompt: Token ids.
            expected: The token ids of the greedy answer.
            concurrency: Requests at once.
        """
        self._client = client
        self._prompt = list(prompt)
        self._expected = tuple(expected)
        self._replies: list[Reply] = []
        self._began = self._ended = 0.0
        self._stopped = threading.Event()
        # Daemons: a test that fails does not wait for the patience of their clients.
        self._workers = [
            threading.Thread(target=self._work, daemon=True) for _ in range(concurrency)
        ]

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped.set()
        if error is None:
            for worker in self._workers:
                worker.join()
        self._ended = time.monotonic()

    def answered_since(self, moment: float) -> bool:
        """Whether a request sent after a moment (`time.monotonic`) was answered rightly."""
        return any(reply.is_right and reply.began >= moment for reply in list(self._replies))

    def tally(self) -> Tally:
        """The counts, once the context has ended."""
        right = sorted(reply.ended for reply in self._replies if reply.is_right)
        edges = [self._began, *right, self._ended]
        return Tally(
            sent=len(self._replies),
            right=len(right),
            wrong=sum(not reply.is_right and reply.error is None for reply in self._replies),
            failed=Counter(reply.error for reply in self._replies if reply.error is not None),
            longest_gap_s=max(later - earlier for earlier, later in itertools.pairwise(edges)),
            slowest_s=max(
                (reply.ended - reply.began for reply in self._replies if reply.is_right),
                default=0.0,
            ),
        )

    def _work(self) -> None:
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                [[completion]] = self._client.generate_ids(
                    [self._prompt], output_length=len(self._expected), top_k=1
                )
            except FtServingError as exc:
                reply = Reply(began=began, ended=time.monotonic(), error=str(exc))
                # Not as fast as refusals come.
                self._stopped.wait(0.2)
            else:
                is_right = tuple(completion.output_ids) == self._expected
                reply = Reply(began=began, ended=time.monotonic(), is_right=is_right)
            self._replies.append(reply)
