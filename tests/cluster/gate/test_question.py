"""A service that is ready may be unknown to its ingress for a moment."""

from collections.abc import Iterator

import pytest

from ft_serving.client import GenerationClient, Parameters
from ft_serving.client.errors import ClientError, UnknownModelError
from ft_serving.cluster.gate.question import SETTLING_S, ask
from tests.client.fake_triton import FakeTriton, Fault
from tests.serving import TINY_GPTJ

PROMPT = "Mary has a little lamb."
UNKNOWN = Fault(status=404, body=b"404 page not found")


class Time:
    """A clock that only pauses move."""

    def __init__(self) -> None:
        self.now = 0.0

    def pause(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton() as triton:
        yield triton


def answer(triton: FakeTriton, said: list[str], time: Time) -> str:
    with GenerationClient(triton.url, tokenizer=TINY_GPTJ, wait_s=0) as client:
        parameters: Parameters = {"output_length": 4}
        generation, _ = ask(
            client, PROMPT, parameters, said.append, clock=lambda: time.now, pause=time.pause
        )
        return generation.text


def test_an_ingress_that_knows_the_service_a_moment_later_is_asked_again(
    triton: FakeTriton,
) -> None:
    triton.faults.extend([UNKNOWN, UNKNOWN, UNKNOWN])
    said: list[str] = []
    assert answer(triton, said, Time()) == " Its fleece is"
    assert len(said) == 1, "the same reason is said once"
    assert "404" in said[0]


def test_an_ingress_that_never_knows_it_is_the_error(triton: FakeTriton) -> None:
    triton.faults.extend([UNKNOWN] * 100)
    time = Time()
    with pytest.raises(UnknownModelError):
        answer(triton, [], time)
    assert time.now == SETTLING_S


def test_a_server_that_fails_is_the_error_at_once(triton: FakeTriton) -> None:
    triton.faults.append(Fault(status=400, body=b'{"error": "broken"}'))
    time = Time()
    with pytest.raises(ClientError, match="broken"):
        answer(triton, [], time)
    assert time.now == 0
