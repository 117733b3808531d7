"""Computes requests in turns; others may come while some are under way.

A turn gives all running rows one token, and then computes prompts for a while. So a long prompt
keeps nobody from the next token for long, and a short request beside it does not wait for its end.
"""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.engine.numpy_block import NumpyBatch, NumpyBlock
from ft_serving.server.engine.numpy_model import Load, NumpyModel
from ft_serving.server.engine.rows import BeamRow, SampledRow, ScheduledRow
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.plan import RequestPlan, RowPlan

PROMPT_SHARE = 4
"""A turn spends so many times as long on prompts as on a token.

With more, running texts wait; with less, the tokens of a few rows are computed one after the other
that many rows could have shared.
"""

_DONE = object()


def load_of(plans: Sequence[RequestPlan]) -> Load:
    """Return the load of requests that begin together."""
    parts = [_blocks(plans) for plans in _parties(plans)]
    return Load(
        rows=sum(plan.beam_width * len(plan.rows) for plan in plans),
        tokens=sum(rows * capacity for part in parts for _, rows, capacity in part),
        prompts=tuple(max(length for length, _, _ in part) for part in parts),
    )


def _parties(plans: Sequence[RequestPlan]) -> list[list[RequestPlan]]:
    """Part requests into those whose rows begin to grow together.

    The rows of one request do, so that each response has a token more of all of them. Those whose
    prompts are of one length can be computed in one operation, and do, too.
    """
    parties: dict[object, list[RequestPlan]] = {}
    for plan in plans:
        lengths = {len(row.prompt) for row in plan.rows}
        key = lengths.pop() if len(lengths) == 1 else plan
        parties.setdefault(key, []).append(plan)
    return list(parties.values())


def _blocks(plans: Sequence[RequestPlan]) -> list[tuple[int, int, int]]:
    """Return the blocks of a party: the prompts' length, rows, and the tokens a row may grow to."""
    found: dict[int, tuple[int, int]] = {}
    for plan in plans:
        for row in plan.rows:
            length = len(row.prompt)
            most = length + row.parameters["output_length"]
            rows, capacity = found.get(length, (0, 0))
            found[length] = (rows + plan.beam_width, max(capacity, most))
    return [(length, rows, capacity) for length, (rows, capacity) in sorted(found.items())]


class _Section:
    """The rows of a block with their requests.

    A beam search has one row of the block behind its prompt, and then one a beam.
    """

    def __init__(self, block: NumpyBlock, rows: list[tuple[ScheduledRow, GenerationJob]]) -> None:
        self.block = block
        self.rows = rows
        self._starts: list[int] = []

    def prefill(self) -> Iterator[None]:
        """Compute the prompts; leave out those that nobody waits for any more."""
        for place, (row, job) in enumerate(self.rows):
            if not job.is_wanted():
                continue
            for _ in self.block.prefill(place, row.prompt):
                yield
                if not job.is_wanted():
                    break

    def begin(self) -> None:
        """Choose the first tokens."""
        places = [place for place, (_, job) in enumerate(self.rows) if not job.is_cancelled]
        self._select(places, [self.rows[place] for place in places])
        self._starts = list(range(len(places) + 1))
        if places:
            self.advance(self.block.logits())

    def advance(self, logits: FloatArray) -> None:
        """Choose the next tokens by the logits of the block's rows."""
        for (row, _), edges in zip(self.rows, itertools.pairwise(self._starts), strict=True):
            row.advance(logits[slice(*edges)])

    def arrange(self) -> bool:
        """Drop rows that are done, and let beams go on; return whether anything moved."""
        going_on = [
            (row, job, start)
            for (row, job), start in zip(self.rows, self._starts[:-1], strict=True)
            if not (row.finished or job.is_cancelled)
        ]
        places = [start + parent for row, _, start in going_on for parent in row.parents]
        moved = self._select(places, [(row, job) for row, job, _ in going_on])
        widths = (len(row.tokens) for row, _ in self.rows)
        self._starts = list(itertools.accumulate(widths, initial=0))
        return moved

    def _select(self, places: list[int], rows: list[tuple[ScheduledRow, GenerationJob]]) -> bool:
        self.rows = rows
        if places == list(range(self.block.rows)):
            return False
        if places:
            self.block.select(np.array(places, np.intp))
        return True

    @property
    def tokens(self) -> list[int]:
        """The newest token of each row and beam."""
        return [token for row, _ in self.rows for token in row.tokens]


class _Party:
    """Requests whose rows begin to grow together.

    Attributes:
        jobs: The requests.
        load: The load while they run.
        prompt: The length of their longest prompt.
        sections: Their rows, those of the same length together.
        spent: Seconds that their prompts have been computed for.
    """

    def __init__(self, jobs: Sequence[GenerationJob], model: NumpyModel) -> None:
        self.jobs = list(jobs)
        self.spent = 0.0
        plans = [job.plan for job in jobs]
        load = load_of(plans)
        self.prompt = max(load.prompts)
        self.load = Load(rows=load.rows, tokens=load.tokens)
        pairs = [(row, job) for job in jobs for row in job.begin(_new_row)]
        self.sections = [
            _Section(
                model.new_block(rows, capacity),
                [(row, job) for row, job in pairs if len(row.prompt) == length],
            )
            for length, rows, capacity in _blocks(plans)
        ]
        self.pieces = itertools.chain.from_iterable(section.prefill() for section in self.sections)


def _new_row(plan: RowPlan, texts: TokenArray, log_probs: FloatArray | None) -> ScheduledRow:
    return (BeamRow if len(texts) > 1 else SampledRow)(plan, texts, log_probs)


class Schedule:
    """Computes requests; each gets the text that it would get alone.

    Args:
        model: Computes the logits.
        clock: Tells seconds.
    """

    def __init__(self, model: NumpyModel, clock: Callable[[], float] = time.monotonic) -> None:
        self._model = model
        self._clock = clock
        self._waiting: deque[GenerationJob] = deque()
        self._starting: list[_Party] = []
        self._running: list[_Party] = []
        self._batch: NumpyBatch | None = None

    @property
    def is_idle(self) -> bool:
        """True while there is nothing to compute."""
        return not (self._waiting or self._starting or self._running)

    def add(self, jobs: Sequence[GenerationJob]) -> None:
        """Compute requests, too, as soon as there is memory; each must fit alone."""
        self._waiting.extend(jobs)

    def turn(self) -> list[GenerationJob]:
        """Compute a token of all running rows, and some of the prompts.

        Returns:
            The requests that are done, or that nobody waits for any more.
        """
        ended = self._admit()
        begin = self._clock()
        ended += self._step()
        now = self._clock()
        deadline = now + PROMPT_SHARE * (now - begin)
        while self._starting:
            ended += self._compute_prompts(now)
            now = self._clock()
            if now >= deadline:
                break
        return ended

    def _admit(self) -> list[GenerationJob]:
        """Start requests that wait, in their order, as many as there is memory for."""
        if not self._waiting:
            return []
        ended = [job for job in self._waiting if not job.is_wanted()]
        if ended:
            self._waiting = deque(job for job in self._waiting if not job.is_cancelled)
        count = len(self._waiting)
        while count and not self._fits(
            [job.plan for job in itertools.islice(self._waiting, count)]
        ):
            count //= 2
        jobs = {job.plan: job for job in (self._waiting.popleft() for _ in range(count))}
        for plans in _parties(list(jobs)):
            party = _Party([jobs[plan] for plan in plans], self._model)
            # Not before those that it shares the time with.
            party.spent = min((other.spent for other in self._starting), default=0.0)
            self._starting.append(party)
        return ended

    def _fits(self, plans: Sequence[RequestPlan]) -> bool:
        load = load_of(plans)
        for party in (*self._starting, *self._running):
            load += party.load
        load += Load(prompts=tuple(party.prompt for party in self._starting))
        return self._model.needed_bytes(load) <= self._model.free_bytes()

    def _step(self) -> list[GenerationJob]:
        """Append a token to all running rows; return the requests that end without or with it."""
        ended = self._retire()
        if not self._running:
            return ended
        sections = [section for party in self._running for section in party.sections]
        if self._batch is None:
            self._batch = self._model.new_batch([section.block for section in sections])
        tokens = [section.tokens for section in sections]
        logits = self._batch.step(np.array(list(itertools.chain(*tokens)), np.uint32))
        edges = itertools.pairwise(itertools.accumulate(map(len, tokens), initial=0))
        for section, edge in zip(sections, edges, strict=True):
            section.advance(logits[slice(*edge)])
        for party in self._running:
            ended += _tell(party)
        return ended

    def _retire(self) -> list[GenerationJob]:
        """Drop what is not to be computed any further; return the requests that are cancelled."""
        ended = []
        for party in self._running:
            ended += [job for job in party.jobs if not job.is_wanted()]
            party.jobs = [job for job in party.jobs if not job.is_cancelled]
            moved = [section.arrange() for section in party.sections]
            party.sections = [section for section in party.sections if section.rows]
            if any(moved):
                self._batch = None
        self._running = [party for party in self._running if party.sections]
        return ended

    def _compute_prompts(self, now: float) -> list[GenerationJob]:
        """Compute a piece of the prompts that had the least time so far."""
        party = min(self._starting, key=lambda party: party.spent)
        if next(party.pieces, _DONE) is not _DONE:
            party.spent += self._clock() - now
            return []
        self._starting.remove(party)
        for section in party.sections:
            section.begin()
        ended = [job for job in party.jobs if job.is_cancelled]
        party.jobs = [job for job in party.jobs if not job.is_cancelled]
        ended += _tell(party)
        if party.jobs:
            self._running.append(party)
            self._batch = None
        return ended


def _tell(party: _Party) -> list[GenerationJob]:
    """Tell of the requests' new tokens; return those that are done."""
    for job in party.jobs:
        job.tell()
    ended = [job for job in party.jobs if job.is_finished]
    party.jobs = [job for job in party.jobs if not job.is_finished]
    return ended
