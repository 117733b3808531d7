"""Requests share the time of a clock that ticks once a piece and once a step."""

from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.engine.schedule import PROMPT_SHARE, Schedule
from ft_serving.server.requests.job import GenerationJob
from ft_serving.server.requests.request import GenerationRequest
from tests.server.engine.scripted import ScriptedModel, always, peak, request

NEVER_ENDS = always(peak(0))


class World:
    """A schedule and what it has told."""

    def __init__(self, memory: int = 1_000_000) -> None:
        self.model = ScriptedModel(NEVER_ENDS, memory=memory)
        self._engine = NumpyEngine(self.model)
        self._schedule = Schedule(self.model, lambda: self.model.now)
        self.ended: list[GenerationJob] = []

    def add(self, *requests: GenerationRequest, cancelled: bool = False) -> list[GenerationJob]:
        jobs = [
            GenerationJob(self._engine.plan(one), lambda _: None, lambda: cancelled)
            for one in requests
        ]
        self._schedule.add(jobs)
        return jobs

    def turn(self) -> None:
        self.ended += self._schedule.turn()

    def run(self) -> None:
        while not self._schedule.is_idle:
            self.turn()


def generated(job: GenerationJob) -> int:
    return int(job.result().sequence_length[0, 0]) - job.plan.prompt_length


def test_running_texts_grow_while_a_long_prompt_is_computed() -> None:
    world = World()
    [running] = world.add(request([[1]], 30))
    world.turn()
    world.turn()
    [long] = world.add(request([[1] * 100], 1))
    before = generated(running)
    for count in range(1, 21):
        begin = world.model.now
        world.turn()
        assert generated(running) == before + count, "a token a turn"
        assert world.model.now - begin <= 1 + PROMPT_SHARE
    assert generated(long) == 0
    world.run()
    assert world.ended == [long, running], "the prompt had its share, too"


def test_a_short_prompt_does_not_wait_for_the_end_of_a_long_one() -> None:
    world = World()
    world.add(request([[1] * 100], 1))
    for _ in range(10):
        world.turn()
    [short] = world.add(request([[1] * 3], 1))
    begin = world.model.now
    while not world.ended:
        world.turn()
    assert world.ended == [short]
    assert world.model.now - begin <= 2 * 3 + 1, "half of the time is its own"


def test_a_long_prompt_is_computed_however_many_short_ones_come() -> None:
    world = World()
    [long] = world.add(request([[1] * 20], 1))
    for _ in range(100):
        world.add(request([[1] * 3], 1))
        # Two more than it takes.
        for _ in range(6):
            world.turn()
    assert long in world.ended


def test_requests_that_there_is_no_memory_for_wait_in_their_order() -> None:
    world = World(memory=20)
    first, second, third = world.add(request([[1]], 11), request([[1]], 15), request([[1]], 3))
    for _ in range(4):
        world.turn()
    assert generated(first) > 0
    assert generated(second) == generated(third) == 0, "nobody overtakes, or the large one starves"
    world.run()
    assert world.ended == [first, third, second]
    assert [generated(job) for job in (first, second, third)] == [11, 15, 3]


def test_a_request_that_nobody_waits_for_any_more_is_not_begun() -> None:
    world = World(memory=20)
    [first] = world.add(request([[1]], 11))
    [given_up] = world.add(request([[1]], 15), cancelled=True)
    world.turn()
    assert world.ended == [given_up], "its client is told at once"
    world.run()
    assert world.ended == [given_up, first]
