"""Requests in files: ours, and those of FasterTransformer's and CoreWeave's examples."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_serving.client.errors import InvalidRequestError
from ft_serving.client.request_file import read_request


def tensor(name: str, data: Any, dtype: str = "uint32") -> dict[str, Any]:
    return {"name": name, "data": data, "dtype": dtype}


SAMPLE = [
    tensor("input_ids", []),
    tensor("input_lengths", []),
    tensor("request_output_len", [[32]]),
    tensor("beam_search_diversity_rate", [[0]], "float32"),
    tensor("temperature", [[1.0]], "float32"),
    tensor("len_penalty", [[1.0]], "float32"),
    tensor("repetition_penalty", [[1.0]], "float32"),
    tensor("random_seed", [[0]], "int32"),
    tensor("is_return_log_probs", [[False]], "bool"),
    tensor("beam_width", [[1]]),
    tensor("runtime_top_k", [[10]]),
    tensor("runtime_top_p", [[0.0]], "float32"),
    tensor("stop_words_list", [[[0], [-1]]], "int32"),
    tensor("bad_words_list", [[[0], [-1]]], "int32"),
]
"""The tensors of CoreWeave's sample_request.json."""


def read(folder: Path, document: Any) -> Any:
    file = folder / "sample_request.json"
    file.write_text(json.dumps(document))
    return read_request(file)


@pytest.mark.parametrize(
    "document",
    [
        {"request": SAMPLE},
        SAMPLE,
        {"config": {"protocol": "http", "url": "localhost:80"}, "request": SAMPLE},
    ],
)
def test_the_original_examples_file_is_read(tmp_path: Path, document: Any) -> None:
    assert read(tmp_path, document) == (
        [],
        {
            "output_length": 32,
            "beam_search_diversity_rate": 0,
            "temperature": 1.0,
            "len_penalty": 1.0,
            "repetition_penalty": 1.0,
            "seed": 0,
            "log_probs": False,
            "beam_width": 1,
            "top_k": 10,
            "top_p": 0.0,
        },
    )


def test_a_prompt_in_token_ids_is_replaced_and_the_batchs_value_is_one(tmp_path: Path) -> None:
    tensors = [
        tensor("input_ids", [[9915, 27221], [9915, 27221]]),
        tensor("start_id", [[50256], [50256]]),
        tensor("end_id", [[50256], [50256]]),
    ]
    assert read(tmp_path, {"request": tensors, "prompt": "Mary"}) == (["Mary"], {"end_id": 50256})


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (tensor("stop_words_list", [[[32094], [1]]]), "stop_words_list: has words as token ids"),
        (tensor("bad_words_list", [[[0], [0]]]), r"bad_words_list: .*give them as text \(--bad\)"),
        (tensor("temperature", [[1.0], [0.5]]), "temperature: must have one value, the same for"),
        (tensor("beam_width", []), "beam_width: must have one value"),
        (tensor("top_p_decay", [[0.5]]), "top_p_decay: stands for no parameter here"),
        (tensor("runtime_top_k", [["many"]]), "top_k: must be a whole number"),
        ({"name": "beam_width"}, "request: must be a list of"),
        (7, "request: must be a list of"),
    ],
)
def test_what_stands_for_no_parameter_is_named(tmp_path: Path, bad: Any, problem: str) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        read(tmp_path, {"request": [tensor("request_output_len", [[32]]), bad]})


def test_a_byte_order_mark_is_no_part_of_a_request(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(b'\xef\xbb\xbf{"prompt": "Mary", "top_k": 2}')
    assert read_request(file) == (["Mary"], {"top_k": 2})


def test_lists_in_lists_without_end_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text("[" * 100_000)
    with pytest.raises(InvalidRequestError, match=r"request\.json: is no JSON"):
        read_request(file)
