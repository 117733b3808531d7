"""The backend behind a real tritonserver, one response a request."""

import json
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from tests.server.backend.asking import (
    MODEL,
    UNSIGNED,
    Tensors,
    ask_grpc,
    ask_grpc_together,
    ask_http,
    endless,
    generated,
    inputs,
    post,
    question,
    statistics,
    wait_until_idle,
)
from tests.serving import GOLDEN, Served

PROMPTS = [GOLDEN["input_ids"][:length] for length in (1, 2, 3, 4, 5, 6, 6, 6)]


def refusal(ask: Callable[[], object]) -> str:
    """The words in which the request, and not the server, is said to be at fault."""
    with pytest.raises(InferenceServerException) as caught:
        ask()
    assert caught.value.status() in ("400", "StatusCode.INVALID_ARGUMENT")
    return str(caught.value.message())


def test_the_golden_answer_comes_over_http_and_grpc_and_as_json(plain_server: Served) -> None:
    for answer in (
        ask_http(plain_server.http, question()),
        ask_grpc(plain_server.grpc, question()),
    ):
        assert generated(answer) == GOLDEN["output_ids"]
        assert answer["output_ids"].shape == (1, 1, 44)
        assert answer["output_ids"].dtype == answer["sequence_length"].dtype == np.uint32
        assert answer["sequence_length"].tolist() == [[44]]
        assert sorted(answer) == ["output_ids", "sequence_length"]
    body = {"input_ids": GOLDEN["input_ids"], "input_lengths": 6, "request_output_len": 38}
    with post(plain_server.http, "generate", json.dumps(body).encode()) as response:
        document = json.loads(response.read())
    assert document["output_ids"] == GOLDEN["input_ids"] + GOLDEN["output_ids"]
    assert document["sequence_length"] == 44


def test_parameters_reach_the_engine(plain_server: Served) -> None:
    def ask(*what: object, **parameters: object) -> Tensors:
        return ask_http(plain_server.http, question(*what, **parameters))  # type: ignore[arg-type]

    whole = ask(64)
    assert generated(whole) == GOLDEN["to_the_end"]["output_ids"]
    assert whole["output_ids"][0, 0, 6 + 54 :].tolist() == [1] * 10, "the rest is end of text"
    likely = ask(4, is_return_log_probs=[True])
    assert likely["output_log_probs"].shape == (1, 1, 4)
    assert -0.5 < likely["cum_log_probs"][0, 0] < 0, "the model is sure of what it has by heart"
    stop = [GOLDEN["output_ids"][4:6], [2, -1]]
    assert generated(ask(stop_words_list=stop)) == GOLDEN["output_ids"][:6]
    assert ask(8, beam_width=[3])["output_ids"].shape == (1, 3, 14)
    assert ask(4, [])["sequence_length"].tolist() == [[4]], "without a prompt"


def test_every_row_of_a_request_is_answered(plain_server: Served) -> None:
    ids = np.zeros((3, 6), np.uint32)
    for row, prompt in enumerate(PROMPTS[3:6]):
        ids[row, : len(prompt)] = prompt
    rows = {
        "input_ids": ids,
        "input_lengths": np.array([[4], [5], [6]]),
        "request_output_len": np.array([[40], [39], [38]]),
        "random_seed": np.array([[1], [2**64 - 1], [3]], np.uint64),
    }
    answer = ask_grpc(plain_server.grpc, rows)
    # Every prompt is a part of the same rhyme, which is continued to the same end.
    for text in answer["output_ids"][:, 0].tolist():
        assert text[:44] == GOLDEN["input_ids"] + GOLDEN["output_ids"]
    assert answer["sequence_length"].tolist() == [[46], [45], [44]], "padded length + generated"


def test_metadata_say_what_the_model_takes(plain_server: Served) -> None:
    with tritonclient.http.InferenceServerClient(plain_server.http) as client:
        assert client.is_model_ready(MODEL)
        metadata = client.get_model_metadata(MODEL)
        assert client.get_model_config(MODEL)["backend"] == "fastertransformer"
    declared = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
    assert declared.items() >= UNSIGNED.items()
    assert metadata["versions"] == ["1"]


def test_requests_that_arrive_together_run_as_one_batch(plain_server: Served) -> None:
    questions = [question(20 + place, prompt) for place, prompt in enumerate(PROMPTS)]
    alone = [ask_grpc(plain_server.grpc, one)["output_ids"].tolist() for one in questions]
    for _ in range(5):
        # The first may find the server idle and go ahead alone, where the machine is busy.
        before = statistics(plain_server.grpc)
        together = ask_grpc_together(plain_server.grpc, questions)
        after = statistics(plain_server.grpc)
        assert after["inferences"] - before["inferences"] == 8
        assert [one["output_ids"].tolist() for one in together] == alone
        if after["executions"] - before["executions"] == 1:
            return
    pytest.fail("eight requests at once never were one execution")


INVALID: dict[str, tuple[Tensors, str]] = {
    "a token beyond the vocabulary": (
        question(prompt=[690, 1024]),
        "input_ids: must be from 0 to 1023, the vocabulary; got 1024 in row 0 at 1",
    ),
    "more to generate than the model's context": (
        question(507),
        "request_output_len: a prompt of 6 tokens and an answer of 507 are longer than the 512",
    ),
    "several things": (
        question(0, [1024]),
        "request_output_len: must be from 1 to 2147483646; got 0; input_ids: must be from 0 to",
    ),
    # These Triton refuses by itself, by config.pbtxt.
    "rows that differ in number": (
        question() | {"input_lengths": np.array([[6], [6]])},
        "batch size does not match",
    ),
    "another shape": (question() | {"input_ids": np.zeros((1, 6, 1))}, "unexpected shape"),
    "another name": (question(4) | {"prompt": np.zeros((1, 1))}, "unexpected inference input"),
    "nothing but a prompt": (
        {"input_ids": np.array([GOLDEN["input_ids"]])},
        "expected number of inputs between 3 and 22 but got 1",
    ),
    "more rows than a batch may have": (
        dict.fromkeys(question(), np.ones((1025, 1))),
        "must be <= 1024",
    ),
}


@pytest.mark.parametrize(("tensors", "message"), INVALID.values(), ids=INVALID.keys())
def test_an_invalid_request_is_refused_in_words(
    plain_server: Served, tensors: Tensors, message: str
) -> None:
    types = UNSIGNED | {"prompt": "UINT32"}
    assert message in refusal(lambda: ask_http(plain_server.http, tensors, types))
    assert message in refusal(lambda: ask_grpc(plain_server.grpc, tensors, types))


@pytest.mark.parametrize("body", [b"", b"[]", b'{"inputs": 5}', b"\xff" * 64])
def test_a_body_that_is_no_request_is_refused(plain_server: Served, body: bytes) -> None:
    with post(plain_server.http, "infer", body) as response:
        assert response.status in (400, 500), "Triton's own choice"
        assert list(json.loads(response.read())) == ["error"]
    assert generated(ask_http(plain_server.http, question(2))) == GOLDEN["output_ids"][:2]


def test_good_requests_are_answered_among_hostile_ones(plain_server: Served) -> None:
    hostile = [tensors for tensors, _ in INVALID.values() if tensors.keys() <= UNSIGNED.keys()]
    questions = [one for bad in hostile for one in (bad, question())]
    before = statistics(plain_server.grpc)
    answers = ask_grpc_together(plain_server.grpc, questions)
    after = statistics(plain_server.grpc)
    for bad, good in zip(answers[::2], answers[1::2], strict=True):
        assert isinstance(bad, InferenceServerException)
        assert generated(good) == GOLDEN["output_ids"]
    assert after["executions"] - before["executions"] < len(questions), (
        "else nothing was merged, and a bad neighbour harmed nobody because there was none"
    )


def test_none_of_two_hundred_requests_is_lost(plain_server: Served) -> None:
    def ask(place: int) -> list[int]:
        ask_one = ask_http if place % 2 else ask_grpc
        address = plain_server.http if place % 2 else plain_server.grpc
        return generated(ask_one(address, question(1 + place % 38)))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(200)))
    assert answers == [GOLDEN["output_ids"][: 1 + place % 38] for place in range(200)]


def test_a_request_is_answered_beside_a_long_one_which_ends_when_it_is_cancelled(
    plain_server: Served,
) -> None:
    long = inputs(tritonclient.grpc, endless(rows=400), UNSIGNED)
    ended = threading.Event()
    with tritonclient.grpc.InferenceServerClient(plain_server.grpc) as client:
        call = client.async_infer(MODEL, long, lambda result, error: ended.set())
        assert generated(ask_http(plain_server.http, question())) == GOLDEN["output_ids"]
        assert not ended.is_set()
        call.cancel()
        assert ended.wait(10)
    wait_until_idle(plain_server.metrics)


def test_requests_may_be_cancelled_at_any_moment(plain_server: Served) -> None:
    # A request that ends while it is cancelled is the moment when Triton is easily crashed: with
    # the final flag sent behind the response, this did.
    delays = np.random.default_rng(0).uniform(0, 0.06, (6, 30)).tolist()

    def cancel_after(some: list[float]) -> None:
        answered: queue.Queue[object] = queue.Queue()
        with tritonclient.grpc.InferenceServerClient(plain_server.grpc) as client:
            for place, delay in enumerate(some):
                made = inputs(tritonclient.grpc, question((1, 2, 5, 38)[place % 4]), UNSIGNED)
                call = client.async_infer(MODEL, made, lambda error, **_: answered.put(error))
                time.sleep(delay)
                call.cancel()
                answered.get(timeout=10)

    with ThreadPoolExecutor(len(delays)) as pool:
        list(pool.map(cancel_after, delays))
    assert generated(ask_grpc(plain_server.grpc, question())) == GOLDEN["output_ids"]
