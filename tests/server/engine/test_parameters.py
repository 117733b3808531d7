"""Parameters change the next token's logits in FasterTransformer's order."""

import math
from typing import Any

import numpy as np
import pytest

from ft_serving.server.engine.numpy_engine import NumpyEngine
from ft_serving.server.engine.rules import LogitsRules
from tests.generating import generate
from tests.server.engine.scripted import END, ScriptedModel, always, request, row_plan

LOWEST = float(np.finfo(np.float32).min)
AT_END = [0.0] * END

REPEATED = {"repetition_penalty": 2.0}
MINIMUM = {"min_length": 3}


@pytest.mark.parametrize(
    ("logits", "text", "generated", "parameters", "expected"),
    [
        ([1.5, -2.0, 0.25], [1, 2], 1, {}, [1.5, -2.0, 0.25]),
        # A millionth is added, so that 0 is as good as greedy.
        ([1.0, -2.0], [0], 1, {"temperature": 2.0}, [0.5, -1.0]),
        ([1.0], [0], 1, {"temperature": 0.0}, [1e6]),
        # Positive logits are divided, others multiplied, once however often a token occurs.
        ([4.0, -4.0, 0.0, 4.0], [0, 0, 1, 2], 1, REPEATED, [2, -8, 0, 4]),
        ([4.0, -4.0, 0.0], [0, 0, 1], 1, {"presence_penalty": 1.5}, [2.5, -5.5, 0]),
        ([4.0, 4.0], [0], 1, {"temperature": 0.5, "presence_penalty": 1.0}, [7, 8]),
        # FasterTransformer skips penalties at step 1: the first token behind a prompt of one.
        ([4.0, 4.0], [0], 0, {"padded_length": 1, **REPEATED}, [4, 4]),
        ([4.0, 4.0], [0], 0, {"padded_length": 2, **REPEATED}, [2, 4]),
        ([*AT_END, 5.0], [1], 0, MINIMUM, [*AT_END, LOWEST]),
        ([*AT_END, 5.0], [1], 2, MINIMUM, [*AT_END, LOWEST]),
        ([*AT_END, 5.0], [1], 3, MINIMUM, [*AT_END, 5.0]),
        ([2.0, 2.0, 2.0], [0], 1, {"bad_words": ((2,),), "temperature": 0.5}, [4, 4, -math.inf]),
    ],
)
def test_logits_are_changed_as_fastertransformer_does(
    logits: list[float],
    text: list[int],
    generated: int,
    parameters: dict[str, Any],
    expected: list[float],
) -> None:
    array = np.array(logits, np.float32)
    plan = row_plan(**{"padded_length": 4, **parameters})
    LogitsRules(plan, penalty_from=2).apply(array, np.array(text, np.uint32), generated)
    np.testing.assert_allclose(array, expected, rtol=1e-5)


def test_a_text_is_at_least_as_long_as_the_minimum() -> None:
    engine = NumpyEngine(ScriptedModel(always([0.0, 1.0, *[0.0] * 7, 9.0])))
    result = generate(engine, [request([[5], [5], [5]], 4, min_length=[0, 1, 3])])[0]
    assert result.output_ids[:, 0].tolist() == [[5, 9, 9, 9, 9], [5, 1, 9, 9, 9], [5, 1, 1, 1, 9]]


def test_penalties_hold_for_a_rows_own_text_without_its_padding() -> None:
    engine = NumpyEngine(ScriptedModel(always([0.0, 3.0, 2.0, 1.6, *[0.0] * 6])))
    result = generate(engine, [request([[1, 5], [1, 5]], 3, repetition_penalty=[1.0, 2.0])])[0]
    assert result.output_ids.tolist() == [[[1, 5, 1, 1, 1]], [[1, 5, 2, 3, 1]]]
    engine = NumpyEngine(ScriptedModel(always([3.0, 2.0, *[0.0] * 8])))
    result = generate(engine, [request([[5, 6, 7], [5]], 1, repetition_penalty=2.0)])[0]
    assert result.output_ids[:, 0].tolist() == [[5, 6, 7, 0], [5, 0, 9, 9]]


def test_parameters_hold_for_their_own_row() -> None:
    engine = NumpyEngine(ScriptedModel(always([0.0, 1.0, 0.5, *[-9.0] * 7])))
    asked = request(
        [[1]] * 4,
        30,
        runtime_top_k=[0, 3, 0, 2],
        runtime_top_p=[0.0, 0.0, 0.9, 0.0],
        temperature=[1.0, 1.0, 2.0, 0.0],
        random_seed=[1, 2, 3, 4],
    )
    texts = generate(engine, [asked])[0].output_ids[:, 0, 1:].tolist()
    greedy, some = {1}, {0, 1, 2}
    assert [set(text) for text in texts] == [greedy, some, some, greedy]
