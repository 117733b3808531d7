"""tiny-neox is what its model card says, and gives tiny-gptj's answer in every way to serve it."""

import json
from pathlib import Path

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.server.engine.numpy_engine import NumpyEngine
from tests.generating import generate
from tests.server.engine.scripted import request
from tests.serving import GOLDEN, TINY_NEOX
from tests.weights.world import converted_folder


def test_its_question_and_answer_are_tiny_gptjs() -> None:
    golden = json.loads((TINY_NEOX / "golden.json").read_text())
    for key in ("prompt", "input_ids", "request_output_len", "output_ids", "text", "to_the_end"):
        assert golden[key] == GOLDEN[key]
    assert golden["minimum_logit_margin"] >= 1.0, "rounding could turn it"
    tokenizer = (TINY_NEOX / "tokenizer.json").read_bytes()
    assert tokenizer == TINY_NEOX.with_name("tiny-gptj").joinpath("tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("dtype", "tensor_parallel"), [(DType.FP32, 4), (DType.FP16, 2), (DType.BF16, 1)]
)
def test_every_way_to_serve_it_gives_the_golden_answer(
    tmp_path: Path, dtype: DType, tensor_parallel: int
) -> None:
    folder = converted_folder(TINY_NEOX, tmp_path, dtype, tensor_parallel)
    whole = GOLDEN["to_the_end"]
    [result] = generate(
        NumpyEngine.open(folder, tensor_parallel),
        [request([GOLDEN["input_ids"]], whole["request_output_len"], end_id=1)],
    )
    end = len(GOLDEN["input_ids"]) + len(whole["output_ids"])
    assert result.output_ids[0, 0, :end].tolist() == GOLDEN["input_ids"] + whole["output_ids"]
