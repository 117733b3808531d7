"""The backend behind a real tritonserver, decoupled: a response a token."""

import json
from collections import defaultdict

import pytest
from tritonclient.utils import InferenceServerException

from tests.server.backend.asking import (
    Tensors,
    ask_grpc,
    endless,
    generated,
    post,
    question,
    statistics,
    stream,
    wait_until_idle,
)
from tests.serving import GOLDEN, NEVER_GENERATED, Served


def collect(address: str, tensors: Tensors) -> list[tuple[Tensors, bool]]:
    """All responses to one request, each with whether it says that it is the last."""
    responses = []
    with stream(address) as asked:
        asked.send(tensors)
        is_last = False
        while not is_last:
            _, answer, is_last = asked.next()
            responses.append((answer, is_last))
    return responses


def test_each_token_brings_the_text_so_far(streaming_server: Served) -> None:
    responses = collect(streaming_server.grpc, question())
    assert len(responses) == 38, "request_output_len, and no empty response behind the last"
    for count, (answer, is_last) in enumerate(responses, start=1):
        assert answer["output_ids"].shape == (1, 1, 44), "always the full shape"
        assert answer["sequence_length"].tolist() == [[6 + count]]
        assert generated(answer) == GOLDEN["output_ids"][:count]
        assert answer["output_ids"][0, 0, 6 + count :].tolist() == [1] * (38 - count)
        assert is_last is (count == 38)
    assert len(collect(streaming_server.grpc, question(64))) == 54, "the end token is the 54th"


def test_requests_of_one_stream_are_merged_and_each_gets_its_responses(
    streaming_server: Served,
) -> None:
    sizes = {"a": 5, "b": 38, "c": 1}
    before = statistics(streaming_server.grpc)
    texts: dict[str, list[list[int]]] = defaultdict(list)
    with stream(streaming_server.grpc) as asked:
        for name, size in sizes.items():
            asked.send(question(size), name)
        for _ in range(sum(sizes.values())):
            name, answer, is_last = asked.next()
            texts[name].append(generated(answer))
            assert is_last is (len(texts[name]) == sizes[name])
    for name, size in sizes.items():
        assert texts[name] == [GOLDEN["output_ids"][: count + 1] for count in range(size)]
    after = statistics(streaming_server.grpc)
    assert after["inferences"] - before["inferences"] == 3
    assert after["executions"] - before["executions"] < 3


def test_an_invalid_request_gets_its_error_and_the_stream_goes_on(
    streaming_server: Served,
) -> None:
    with stream(streaming_server.grpc) as asked:
        asked.send(question(prompt=[5000]))
        with pytest.raises(InferenceServerException, match="input_ids: must be from 0 to 1023"):
            asked.next()
        asked.send(question(1))
        assert generated(asked.next()[1]) == GOLDEN["output_ids"][:1]


def test_events_come_over_plain_http(streaming_server: Served) -> None:
    body = {"input_ids": GOLDEN["input_ids"], "input_lengths": 6, "request_output_len": 38}
    with post(streaming_server.http, "generate_stream", json.dumps(body).encode()) as response:
        assert (response.getheader("Content-Type") or "").startswith("text/event-stream")
        lines = [line for line in response.read().decode().splitlines() if line]
    answers = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert len(answers) == 38
    assert [answer["sequence_length"] for answer in answers] == list(range(7, 45))
    assert answers[-1]["output_ids"] == GOLDEN["input_ids"] + GOLDEN["output_ids"], "flat arrays"
    assert answers[0]["output_ids"][7:] == [1] * 37


def test_an_error_comes_over_plain_http(streaming_server: Served) -> None:
    body = b'{"input_ids": [1, 2], "input_lengths": 3, "request_output_len": 1}'
    with post(streaming_server.http, "generate_stream", body) as response:
        assert response.status == 400
        assert b"input_lengths: must be from 1 to 2; got 3" in response.read()


def test_a_request_for_one_response_is_refused(streaming_server: Served) -> None:
    with pytest.raises(InferenceServerException, match="decoupled"):
        ask_grpc(streaming_server.grpc, question(2))


def test_a_cancelled_stream_is_computed_no_further(streaming_server: Served) -> None:
    with stream(streaming_server.grpc) as asked:
        asked.send(endless(rows=100))
        asked.next()
        asked.cancel()
    wait_until_idle(streaming_server.metrics)


def test_a_reader_of_events_that_goes_away_stops_its_text(streaming_server: Served) -> None:
    text = {"input_ids": GOLDEN["input_ids"], "input_lengths": 6, "end_id": NEVER_GENERATED}
    # With so many beams it takes half a minute.
    body = json.dumps(text | {"request_output_len": 500, "beam_width": 64}).encode()
    with post(streaming_server.http, "generate_stream", body) as response:
        assert response.readline().startswith(b"data: ")
    wait_until_idle(streaming_server.metrics)
