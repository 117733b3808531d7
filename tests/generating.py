"""Generates texts with the CPU's engine in the caller's thread, for tests and benchmarks."""

from collections.abc import Callable, Sequence
from functools import partial

from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.request import GenerationRequest, GenerationResult


def generate(
    engine: NumpyEngine,
    requests: Sequence[GenerationRequest],
    on_step: Callable[[int, GenerationResult], None] = lambda _, __: None,
    cancelled: Callable[[int], bool] = lambda _: False,
) -> list[GenerationResult]:
    """Return a result for each request; that of a cancelled one is not final.

    `on_step` is called with a request's index and its tensors after each of its steps, and
    `cancelled` is asked for each unfinished request, by its index, before each step.
    """

    def tell(index: int, job: GenerationJob) -> None:
        on_step(index, job.result())

    jobs = [
        GenerationJob(engine.plan(request), partial(tell, index), partial(cancelled, index))
        for index, request in enumerate(requests)
    ]
    schedule = engine.schedule()
    schedule.add(jobs)
    while not schedule.is_idle:
        schedule.turn()
    return [job.result() for job in jobs]
