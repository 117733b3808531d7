"""The gate's parts: a revision that failed before, the question, and the right answer."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from ft_serving.client import GenerationClient, Parameters
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import ClientError, UnknownModelError
from ft_serving.cluster.diagnosis import State
from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
from ft_serving.cluster.diagnosis.snapshot import Kind
from ft_serving.cluster.documents import created
from ft_serving.cluster.errors import ClusterError
from ft_serving.cluster.gate.question import SETTLING_S, Expectation, ask, complete
from ft_serving.cluster.gate.readiness import OLD_S, patient, try_again
from tests.client.fake_triton import FakeTriton, Fault
from tests.cluster.conftest import Serve
from tests.cluster.diagnosis.recorded_snapshots import recorded
from tests.serving import TINY_GPTJ

PROMPT = "Mary has a little lamb."
TEXT = " Its fleece is white as snow"
TOKENS = (348, 434, 954)
UNKNOWN = Fault(status=404, body=b"404 page not found")
REVISION = "gpu-predictor-00001"


@pytest.mark.parametrize(
    ("recording", "deleted"),
    [("gpu-given-up", [REVISION]), ("sound", []), ("starting-loading", []), ("standard-sound", [])],
)
def test_only_a_revision_that_failed_is_deleted(
    serve: Serve, recording: str, deleted: list[str]
) -> None:
    snapshot, _ = recorded(recording)
    api = serve(snapshot)
    said: list[str] = []
    try_again(ClusterNamespace(), snapshot.name, said.append)
    assert api.deleted == deleted
    assert len(said) == len(deleted)


def test_without_the_permission_to_delete_it_the_gate_says_so_and_goes_on(serve: Serve) -> None:
    snapshot, _ = recorded("gpu-given-up")
    serve(snapshot).answers = {REVISION: (403, {"message": "no"})}
    said: list[str] = []
    try_again(ClusterNamespace(), snapshot.name, said.append)
    assert said[0].startswith("A revision that failed before is not tried again: The API server")


@pytest.mark.parametrize(
    ("age_s", "deleted"), [(OLD_S + 1, [REVISION]), (OLD_S - 1, [])], ids=["old", "new"]
)
def test_a_revision_of_before_the_gate_that_is_given_up_meanwhile_is_tried_again_once(
    serve: Serve, age_s: float, deleted: list[str]
) -> None:
    snapshot, _ = recorded("gpu-given-up")
    api = serve(snapshot)
    (revision,) = snapshot.all(Kind.REVISIONS)
    begun = created(revision) + timedelta(seconds=age_s)
    later = datetime.now(UTC) + timedelta(hours=1)
    look = patient(ClusterNamespace(), snapshot.name, begun, lambda _: None)
    assert look(later).state is (State.PENDING if deleted else State.FAILED)
    assert look(later).state is State.FAILED
    assert api.deleted == deleted


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


@pytest.mark.parametrize(
    ("faults", "error", "waited"),
    [
        ([UNKNOWN] * 100, UnknownModelError, SETTLING_S),
        ([Fault(status=400, body=b'{"error": "broken"}')], ClientError, 0),
    ],
)
def test_only_an_unknown_service_is_asked_again_and_not_for_ever(
    triton: FakeTriton, faults: list[Fault], error: type[Exception], waited: float
) -> None:
    triton.faults.extend(faults)
    time = Time()
    with pytest.raises(error):
        answer(triton, [], time)
    assert time.now == waited


@pytest.mark.parametrize("body", [b'{"error": {"message": "no"}}', b"<html>", b'{"choices": []}'])
def test_an_api_that_gives_no_completion_fails_the_gate(triton: FakeTriton, body: bytes) -> None:
    triton.faults.append(Fault(status=503, body=body))
    with pytest.raises(ClusterError, match=r"gives no completion: POST .* gave 503"):
        complete(Endpoint.parse(triton.url), "it", PROMPT, 4, 10.0)


def test_an_api_has_to_give_the_text_that_was_right() -> None:
    Expectation(token_ids=[*TOKENS]).of_text(TEXT).check(PROMPT, TEXT, ())
    with pytest.raises(ClusterError, match="wrong answer"):
        Expectation(token_ids=[*TOKENS]).of_text(TEXT).check(PROMPT, TEXT[1:], ())
    Expectation(words=["fleece"]).of_text(TEXT).check(PROMPT, " A fleece of another kind", ())


@pytest.mark.parametrize(
    "expected",
    [
        Expectation(text=TEXT),
        Expectation(token_ids=[*TOKENS]),
        Expectation(words=["FLEECE", "snow"]),
    ],
)
def test_the_golden_answer_is_right(expected: Expectation) -> None:
    expected.check(PROMPT, TEXT, TOKENS)


@pytest.mark.parametrize("text", ["", TEXT + ".", TEXT[1:], TEXT.upper(), TEXT[:-5]])
def test_any_other_text_is_wrong(text: str) -> None:
    with pytest.raises(ClusterError) as caught:
        Expectation(text=TEXT).check(PROMPT, text, TOKENS)
    for shown in (f"Asked:    {PROMPT!r}", f"Expected: {TEXT!r}", f"Got:      {text!r}"):
        assert shown in str(caught.value)


@pytest.mark.parametrize("tokens", [(), TOKENS[:2], (348, 434, 955), (*TOKENS, 15)])
def test_other_tokens_are_wrong(tokens: tuple[int, ...]) -> None:
    with pytest.raises(ClusterError, match="Expected: the tokens 348,434,954"):
        Expectation(token_ids=[*TOKENS]).check(PROMPT, TEXT, tokens)


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        (["Friday", "Sunday"], " Sunday, Friday", "it lacks 'Sunday' behind 'Friday'"),
        (["snow"], "\x1b[2J", r"\\x1b"),
    ],
)
def test_words_are_wanted_in_their_order(words: list[str], text: str, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        Expectation(words=words).check(PROMPT, text, TOKENS)
