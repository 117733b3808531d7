"""FasterTransformer's parameters become vLLM's, or are refused by name."""

import math

import numpy as np
import pytest

from ft_serving.core.dtypes import Precision
from ft_serving.core.lengths import LengthLimits
from ft_serving.server.errors import RequestError, ServerError
from ft_serving.server.requests.plan import RowPlan, Vocabulary, plan_request
from ft_serving.server.vllm.sampling import Sampling, VllmRow, refuse_unsupported, sampling_of
from ft_serving.server.vllm.settings import EngineSettings

VOCABULARY = Vocabulary(size=1000, start_id=1, end_id=9)


def row_of(**parameters: object) -> RowPlan:
    given = {name: np.array([value]) for name, value in parameters.items()}
    request = {
        "input_ids": np.array([[1, 2]], np.uint32),
        "input_lengths": np.array([2], np.uint32),
        "request_output_len": np.array([4], np.uint32),
        **given,
    }
    plan = plan_request(request, VOCABULARY, LengthLimits())
    refuse_unsupported(plan)
    return plan.rows[0]


def sampling(**parameters: object) -> Sampling:
    return sampling_of(row_of(**parameters))


def test_nothing_said_takes_the_likeliest_token() -> None:
    chosen = sampling()
    assert (chosen.temperature, chosen.max_tokens, chosen.end_id) == (0.0, 4, 9)
    assert chosen.log_probs is None


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"runtime_top_k": 5}, {"top_k": 5, "top_p": 1.0, "temperature": 1.0}),
        ({"runtime_top_k": 5, "runtime_top_p": 0.5}, {"top_k": 5, "top_p": 0.5}),
        ({"runtime_top_p": 0.5}, {"top_k": 0, "top_p": 0.5}),
        ({"runtime_top_p": 7.0}, {"top_k": 0, "top_p": 1.0}),
        ({"runtime_top_k": 2000}, {"top_k": 1024}),
        ({"runtime_top_k": 1, "temperature": 5.0}, {"temperature": 0.0}),
        ({"runtime_top_k": 3, "temperature": 0.0}, {"temperature": 0.0}),
        ({"min_length": 3}, {"min_tokens": 3}),
        ({"min_length": 300}, {"min_tokens": 4}),
        ({"random_seed": np.uint64(2**63)}, {"seed": 0}),
        ({"random_seed": np.uint64(2**64 - 1)}, {"seed": 2**63 - 1}),
        ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"top_p_decay": 0.9, "runtime_top_k": 4}, {"top_k": 4}),
    ],
)
def test_a_parameter_has_fastertransformers_meaning(
    parameters: dict[str, object], expected: dict[str, object]
) -> None:
    chosen = sampling(**parameters)
    assert {name: getattr(chosen, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"temperature": 2.5, "runtime_top_k": 4}, "temperature: must be 0 or from 0.01 to 2.0"),
        ({"temperature": 0.005, "runtime_top_k": 4}, "temperature: must be 0 or from 0.01"),
        ({"presence_penalty": 0.1}, "presence_penalty: this engine has none"),
        ({"beam_width": 2}, r"beam_width: this engine samples only \(1\); got 2"),
        ({"top_p_decay": 0.5, "runtime_top_p": 0.9}, r"top_p_decay: this engine has none \(1\)"),
        (
            {"bad_words_list": [[5] * 1025, [1025] + [-1] * 1024]},
            "bad_words_list: must be at most 128 words of 1024 tokens together",
        ),
        (
            {"is_return_log_probs": True, "temperature": 0.5, "repetition_penalty": 1.5},
            "without temperature, repetition_penalty",
        ),
    ],
)
def test_what_vllm_does_otherwise_is_refused_by_name(
    parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(RequestError, match=message):
        sampling(**{name: np.array(value) for name, value in parameters.items()})


def test_bad_words_keep_their_ids_but_for_those_that_are_never_forbidden() -> None:
    words = [[5, 6, 7, 0, 8, 0], [2, 3, 4, 6, 6, -1]]
    assert sampling(bad_words_list=np.array(words)).bad_words == ((5, 6), (7,))


def test_a_share_of_the_top_k_is_worked_out_from_the_likeliest_tokens() -> None:
    plan = row_of(runtime_top_k=2, is_return_log_probs=True)
    assert sampling_of(plan).log_probs == 2
    shares = np.zeros((1, 4), np.float32)
    row = VllmRow(plan, np.ones((1, 6), np.uint32), shares)
    found = {4: math.log(0.25), 3: math.log(0.5), 8: math.log(0.1)}
    row.extend([4], [found])
    assert row.log_probs == [pytest.approx(math.log(0.25))]
    assert shares[0, 0] == pytest.approx(math.log(0.25 / 0.75))


def test_settings_travel_in_the_environment_and_come_back() -> None:
    settings = EngineSettings(
        tensor_parallel=4, batch=128, cache_bytes=10**9, precision=Precision.FP8
    )
    assert EngineSettings.from_environment(settings.to_environment()) == settings
    assert EngineSettings.from_environment({}) == EngineSettings()


def test_settings_that_make_no_sense_are_refused_together() -> None:
    wrong = {"FT_SERVING_BATCH": "0", "FT_SERVING_PRECISION": "int4"}
    with pytest.raises(ServerError) as caught:
        EngineSettings.from_environment(wrong)
    assert "FT_SERVING_BATCH: must be a whole number above 0; got '0'" in str(caught.value)
    assert "FT_SERVING_PRECISION: must be one of fp32, fp16, bf16, fp8" in str(caught.value)


@pytest.mark.parametrize("batch", [1, 64, 1024, 5000])
def test_graphs_in_ascending_sizes_reach_all_rows_and_some_prompts(batch: int) -> None:
    settings = EngineSettings(batch=batch)
    sizes = settings.graph_sizes
    assert sizes == sorted(set(sizes))
    assert max(1024, 2 * batch) - 64 < sizes[-1] <= settings.batched_tokens
