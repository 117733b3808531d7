"""Each parameter means what it means to the CPU's engine, or is refused by name."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient.utils import InferenceServerException

from ft_serving.server.engine.numpy_engine import NumpyEngine
from tests.generating import generate
from tests.server.backend.asking import (
    NUMPY,
    UNSIGNED,
    ask_grpc,
    ask_http,
    endless,
    generated,
    question,
    stream,
    wait_until_idle,
)
from tests.serving import GOLDEN, NEVER_GENERATED, Served

FLEECE = 358
"""A token of the golden answer, and the word that the tests forbid and stop at."""


def oracle_answer(oracle: NumpyEngine, tensors: Mapping[str, Any]) -> Any:
    typed = {name: value.astype(NUMPY[UNSIGNED[name]]) for name, value in tensors.items()}
    [result] = generate(oracle, [typed])
    return result


def test_the_golden_answer_over_http_and_grpc(plain: Served) -> None:
    for ask, address in ((ask_http, plain.http), (ask_grpc, plain.grpc)):
        assert generated(ask(address, question())) == GOLDEN["output_ids"]


def test_the_golden_answer_is_streamed_in_growing_pieces(streaming: Served) -> None:
    lengths = []
    with stream(streaming.grpc) as one:
        one.send(question())
        is_last = False
        while not is_last:
            _, tensors, is_last = one.next()
            lengths.append(int(tensors["sequence_length"][0, 0]))
    assert generated(tensors) == GOLDEN["output_ids"]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize(
    "parameters",
    [
        {"repetition_penalty": [1.3]},
        {"min_length": [40]},
        {"end_id": [13]},
        {"temperature": [7.0]},
        {"bad_words_list": [[FLEECE], [1]]},
        {"bad_words_list": [[357, FLEECE, 13, 5], [1, 2, 4, -1]]},
        {"stop_words_list": [[434, 954], [2, -1]]},
        {"stop_words_list": [[954, 357, 672], [3, -1, -1]]},
        {"runtime_top_k": [1], "runtime_top_p": [0.3]},
        {"runtime_top_p": [0.0]},
        {"beam_width": [1]},
    ],
    ids=lambda it: str(it)[:60],
)
def test_greedy_texts_are_those_of_the_cpus_engine(
    plain: Served, oracle: NumpyEngine, parameters: dict[str, Any]
) -> None:
    asked = question(38, **parameters)
    answer = ask_grpc(plain.grpc, asked)
    expected = oracle_answer(oracle, asked)
    assert answer["output_ids"].tolist() == expected.output_ids.tolist()
    assert answer["sequence_length"].tolist() == expected.sequence_length.tolist()


def test_rows_of_different_lengths_are_those_of_the_cpus_engine(
    plain: Served, oracle: NumpyEngine
) -> None:
    prompt = list(GOLDEN["input_ids"])
    asked = {
        "input_ids": np.array([prompt, [*prompt[:3], 0, 0, 0], [5] * 6]),
        "input_lengths": np.array([[6], [3], [1]]),
        "request_output_len": np.array([[20], [5], [9]]),
    }
    answer, expected = ask_grpc(plain.grpc, asked), oracle_answer(oracle, asked)
    assert answer["output_ids"].tolist() == expected.output_ids.tolist()
    assert answer["sequence_length"].tolist() == expected.sequence_length.tolist()


@pytest.mark.parametrize(
    "top", [{}, {"runtime_top_k": [5]}, {"runtime_top_p": [0.9]}], ids=lambda it: str(it)[:60]
)
def test_log_probabilities_are_those_of_the_cpus_engine(
    plain: Served, oracle: NumpyEngine, top: dict[str, Any]
) -> None:
    asked = question(12, is_return_log_probs=[True], random_seed=[7], **top)
    answer = ask_grpc(plain.grpc, asked)
    if top:
        # Draws differ; that of one token is compared, which both must have drawn.
        assert np.all(answer["output_log_probs"] <= 0)
        return
    expected = oracle_answer(oracle, asked)
    np.testing.assert_allclose(answer["cum_log_probs"], expected.cum_log_probs, atol=1e-2)
    np.testing.assert_allclose(answer["output_log_probs"], expected.output_log_probs, atol=1e-2)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_seed_gives_the_same_draws_twice(plain: Served, seed: int) -> None:
    asked = question(30, random_seed=[seed], runtime_top_k=[50], temperature=[2.0])
    asked["random_seed"] = np.array([[seed]], np.uint64)
    other = asked | {"random_seed": np.array([[seed ^ 5]], np.uint64)}
    answers = [ask_grpc(plain.grpc, one)["output_ids"].tolist() for one in (asked, asked, other)]
    assert answers[0] == answers[1] != answers[2]


# All are refused by the same code before vLLM sees them; tests/server has the rest.
HOSTILE = [
    {"beam_width": [2]},
    {"presence_penalty": [0.5]},
    {"temperature": [1e-30], "runtime_top_k": [4]},
    {"bad_words_list": [[1] * 2000, [*range(1, 1001), *[-1] * 1000]]},
    {"is_return_log_probs": [True], "temperature": [0.5]},
]


@pytest.mark.parametrize("parameters", HOSTILE, ids=lambda it: str(it)[:60])
def test_what_cannot_be_done_is_refused_by_name(plain: Served, parameters: dict[str, Any]) -> None:
    name = next(iter(parameters))
    with pytest.raises(InferenceServerException, match=name):
        ask_grpc(plain.grpc, question(8, **parameters))
    assert generated(ask_grpc(plain.grpc, question())) == GOLDEN["output_ids"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"runtime_top_k": [2**32 - 1]},
        {"runtime_top_p": [1e30]},
        {"runtime_top_p": [-5.0]},
        {"repetition_penalty": [1e-38]},
        {"repetition_penalty": [3e38]},
        {"min_length": [2**31 - 1]},
        {"len_penalty": [-1e30]},
        {"beam_search_diversity_rate": [1e30]},
        {"top_p_min": [float("1e30")], "top_p_reset_ids": [2**32 - 1]},
        {"stop_words_list": [[5] * 2000, [*range(1, 2001)]]},
        {"stop_words_list": [[0], [0]]},
        {"bad_words_list": [[0], [1]]},
    ],
    ids=lambda it: str(it)[:60],
)
def test_extreme_values_end_no_other_request(plain: Served, parameters: dict[str, Any]) -> None:
    types = {**UNSIGNED, **dict.fromkeys(
        ("len_penalty", "beam_search_diversity_rate", "top_p_min"), "FP32"
    ), "top_p_reset_ids": "UINT32"}  # fmt: skip
    with ThreadPoolExecutor(2) as pool:
        good = pool.submit(ask_grpc, plain.grpc, question())
        ask_http(plain.http, question(8, **parameters), types)
    assert generated(good.result()) == GOLDEN["output_ids"]


@pytest.mark.parametrize("tensors", [question(600), question(8, prompt=[5] * 100_000)])
def test_what_does_not_fit_the_model_is_refused_before_it_is_computed(
    plain: Served, tensors: dict[str, Any]
) -> None:
    with pytest.raises(InferenceServerException, match=r"request_output_len|input_ids"):
        ask_grpc(plain.grpc, tensors)


def test_a_cancelled_stream_frees_its_place(streaming: Served) -> None:
    with stream(streaming.grpc) as one:
        one.send(endless(500))
        one.next()
        one.cancel()
    wait_until_idle(streaming.metrics)


def test_five_hundred_mixed_requests_are_each_answered_as_if_alone(
    plain: Served, oracle: NumpyEngine
) -> None:
    prompt = list(GOLDEN["input_ids"])
    kinds = [
        question(length, prompt=prompt[:start], end_id=[NEVER_GENERATED])
        for length, start in ((3, 6), (20, 2), (38, 5), (60, 3), (9, 1))
    ]
    expected = [oracle_answer(oracle, kind).output_ids.tolist() for kind in kinds]
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda n: ask_grpc(plain.grpc, kinds[n % 5]), range(500)))
    wrong = [n for n, one in enumerate(answers) if one["output_ids"].tolist() != expected[n % 5]]
    assert wrong == []
