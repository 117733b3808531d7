"""Requests to a deployed service that do not stop while something is done to it."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from ft_serving.client import GenerationClient
from ft_serving.core.errors import FtServingError
from tests.deployment.program import Deployment
from tests.platform.waiting import wait_until
from tests.serving import GOLDEN

RECOVERY_SECONDS = 120

Record = Callable[[str, object], None]
"""Takes a test's figures, as `record_property` does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """The outcome of one request: tokens or an error, with its times by `time.monotonic`."""

    began: float
    ended: float
    tokens: tuple[int, ...] | None = None
    error: str | None = None


class Load:
    """Asks one question again and again, so many at once, while its context is open.

    Every worker sends its next request when it has the answer to the last one.
    """

    def __init__(
        self,
        client: GenerationClient,
        expected: Sequence[Sequence[int]] = (GOLDEN["output_ids"],),
        *,
        concurrency: int = 2,
    ) -> None:
        """Take the greedy answers that are right, all of one length; send nothing yet."""
        self._client = client
        self._expected = {tuple(each) for each in expected}
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

    def __exit__(self, *failure: object) -> None:
        self._stopped.set()
        if failure[0] is None:
            for worker in self._workers:
                worker.join()
        self._ended = time.monotonic()

    def wait_for_recovery(self, tokens: Sequence[int] | None = None) -> None:
        """Wait until a request that is sent from now on has a right answer, or a certain one."""
        now = time.monotonic()
        wanted = self._expected if tokens is None else {tuple(tokens)}
        wait_until(
            lambda: any(it.began >= now and it.tokens in wanted for it in list(self._replies)),
            "no right answer",
            RECOVERY_SECONDS,
        )

    def counts(self) -> Counter[object]:
        """Return how often each answer and each error came."""
        return Counter(it.tokens if it.error is None else it.error for it in self._replies)

    def figures(self) -> str:
        """Return how many requests there were, and the longest time without a right answer."""
        right = sorted(it.ended for it in self._replies if it.tokens in self._expected)
        edges = [self._began, *right, self._ended]
        gap = max(later - earlier for earlier, later in itertools.pairwise(edges))
        return f"{len(self._replies)} sent, {len(right)} right; {gap:.1f} s without an answer"

    def _work(self) -> None:
        length = len(next(iter(self._expected)))
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                [[completion]] = self._client.generate_ids(
                    [GOLDEN["input_ids"]], output_length=length, top_k=1
                )
            except FtServingError as exc:
                reply = Reply(began=began, ended=time.monotonic(), error=str(exc))
                # Not as fast as refusals come.
                self._stopped.wait(0.2)
            else:
                tokens = tuple(completion.output_ids)
                reply = Reply(began=began, ended=time.monotonic(), tokens=tokens)
            self._replies.append(reply)


@contextmanager
def under_load(
    deployment: Deployment,
    record: Record,
    expected: Sequence[Sequence[int]] = (GOLDEN["output_ids"],),
) -> Iterator[Load]:
    """Ask the service all the while; no request may fail or be answered wrongly."""
    with deployment.client() as client:
        with Load(client, expected) as load:
            load.wait_for_recovery()
            yield load
            load.wait_for_recovery()
        record("figures", load.figures())
        assert load.counts().keys() <= {tuple(each) for each in expected}, load.counts()
