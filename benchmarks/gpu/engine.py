"""vLLM alone, as the server's engine opens it."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.load import (
    AT_ONCE,
    MIXED,
    NEVER,
    ROUNDS,
    Answered,
    Question,
    Results,
    equal_questions,
    figures,
    mixed_questions,
)
from ft_serving.core.dtypes import Precision
from ft_serving.server.vllm.library import TextSource, import_vllm, open_vllm
from ft_serving.server.vllm.sampling import Sampling
from ft_serving.server.vllm.settings import EngineSettings

LONGEST = 2048

_names = map(str, itertools.count())


def run(
    part: str, folder: Path, settings: EngineSettings, batches: Sequence[int], results: Results
) -> None:
    """Time batches of equal requests, and requests of mixed lengths, all streamed."""
    begun = time.monotonic()
    import_vllm()
    results.add(part, "import_s", round(time.monotonic() - begun, 1))
    asyncio.run(_run(part, folder, settings, batches, results))


async def _run(
    part: str, folder: Path, settings: EngineSettings, batches: Sequence[int], results: Results
) -> None:
    begun = time.monotonic()
    source = await open_vllm(folder, settings, LONGEST, lambda _: None)
    results.add(part, "engine_s", round(time.monotonic() - begun, 1))
    greedy = [await _ask(source, one, []) for one in equal_questions(3, answer=32)]
    results.add(part, "greedy", greedy)
    seeds = itertools.count(1000)
    for batch in batches:
        length = 128 if batch > AT_ONCE else 64
        await _warm_up(source, batch, length, next(seeds))
        questions = equal_questions(batch, length, seed=next(seeds))
        results.add(part, f"batch {batch}", figures(await _at_most(source, questions, batch)))
    if settings.precision is Precision.FP16:
        for count in (1, AT_ONCE):
            questions = equal_questions(ROUNDS * count, seed=next(seeds))
            answers = await _at_most(source, questions, count)
            results.add(part, f"{count} at once", figures(answers))
        questions = mixed_questions(MIXED, seed=next(seeds))
        results.add(part, "mixed", figures(await _at_most(source, questions, AT_ONCE)))
        waiting: list[Answered] = []
        questions = mixed_questions(MIXED, seed=next(seeds))
        for start in range(0, MIXED, AT_ONCE):
            waiting += await _at_most(source, questions[start : start + AT_ONCE], AT_ONCE)
        results.add(part, "mixed in batches", figures(waiting))
    source.shutdown()


async def _warm_up(source: TextSource, batch: int, length: int, seed: int) -> None:
    """Ask a batch once: the first of a shape is slower than all others."""
    await _at_most(source, equal_questions(batch, length, 8, seed=seed), batch)


async def _at_most(source: TextSource, questions: Sequence[Question], count: int) -> list[Answered]:
    answers: list[Answered] = []
    waiting = iter(questions)

    async def work() -> None:
        for question in waiting:
            await _ask(source, question, answers)

    await asyncio.gather(*(work() for _ in range(count)))
    return answers


async def _ask(source: TextSource, question: Question, answers: list[Answered]) -> list[int]:
    sampling = Sampling(
        max_tokens=question.answer,
        min_tokens=question.answer,
        end_id=NEVER,
        temperature=0.0,
        top_k=0,
        top_p=1.0,
        repetition_penalty=1.0,
        seed=0,
        bad_words=(),
        log_probs=None,
    )
    begun, first, tokens = time.monotonic(), 0.0, list[int]()
    async for new, _ in source.generate(next(_names), question.prompt, sampling, at_once=False):
        first = first or time.monotonic()
        tokens += new
    answers.append(Answered(begun, first, time.monotonic(), len(tokens)))
    return tokens
