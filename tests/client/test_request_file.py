"""Parameters, and the files of requests that hold them: ours, and those of other examples."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_serving.client.errors import InvalidRequestError
from ft_serving.client.parameters import LARGEST_FP32, checked
from ft_serving.client.request_file import read_request
from ft_serving.core.parameters import PARAMETERS

ROOT = Path(__file__).parents[2]


def test_everything_at_its_limits_is_accepted() -> None:
    checked(
        {
            "output_length": 2**31 - 1,
            "top_k": 1024,
            "top_p": 1,
            "temperature": 0,
            "repetition_penalty": 0.1,
            "min_length": 2**31 - 1,
            "seed": 2**64 - 1,
            "beam_width": 64,
            "len_penalty": -LARGEST_FP32,
            "beam_search_diversity_rate": 0.5,
            "stop": ["."],
            "bad": [],
            "log_probs": True,
            "end_id": 0,
        }
    )


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("output_length", 0, "must be a whole number from 1 to 2147483647"),
        ("output_length", 8.0, "must be a whole number"),
        ("top_k", 1025, "must be a whole number from 0 to 1024"),
        ("top_p", 1.01, "must be a number from 0 to 1"),
        ("top_p", float("nan"), "must be a number from 0 to 1"),
        ("temperature", 1e39, "must be a number of at least 0, at most 3.4e.38; got 1e.39"),
        ("len_penalty", -1e39, "must be a finite number, at most 3.4e.38 either way"),
        ("repetition_penalty", 0, "must be a number above 0"),
        ("seed", 2**64, "must be a whole number from 0 to 18446744073709551615"),
        ("len_penalty", "1", "must be a finite number"),
        ("stop", "word", "must be a list of words"),
        ("bad", [1], "must be a list of words"),
        ("stop", [""], "a word must not be empty"),
        (
            "bad",
            ["lamb\ud800"],
            r"must be text that UTF-8 can hold; got 'lamb\\ud800' .character 5",
        ),
        ("log_probs", 1, "must be true or false"),
        ("temprature", 1, "no such parameter; there are output_length, top_k"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name_and_rule(
    name: str, value: object, rule: str
) -> None:
    with pytest.raises(InvalidRequestError, match=f"{name}: {rule}"):
        checked({name: value})


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidRequestError) as refused:
        checked({"top_k": -1, "top_p": 2, "nonsense": 1})
    lines = str(refused.value).splitlines()[1:]
    assert [line.split(":")[0].strip() for line in lines] == ["top_k", "top_p", "nonsense"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"repetition_penalty": 1.2, "presence_penalty": 0.5}, "give one of the two"),
        ({"min_length": 65}, "min_length: must be at most the output length"),
        ({"min_length": 5, "output_length": 4}, "min_length: must be at most the output length"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(
    given: dict[str, object], problem: str
) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        checked(given)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_documentation_says_what_a_parameter_does(name: str) -> None:
    text = (ROOT / "docs" / "client.md").read_text()
    assert f"| `--{name.replace('_', '-')}`, `{name}` |" in text


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
    file = folder / "request.json"
    if not isinstance(document, bytes):
        document = json.dumps(document).encode()
    file.write_bytes(document)
    return read_request(file)


@pytest.mark.parametrize(
    ("document", "prompts", "parameters"),
    [
        ({"prompt": "Mary", "top_k": 10, "stop": ["."]}, ["Mary"], {"top_k": 10, "stop": ["."]}),
        ({"prompt": ["Mary", "Jack"]}, ["Mary", "Jack"], {}),
        ({}, [], {}),
        (b'\xef\xbb\xbf{"prompt": "Mary", "top_k": 2}', ["Mary"], {"top_k": 2}),
    ],
)
def test_a_request_file_holds_prompts_and_parameters(
    tmp_path: Path, document: Any, prompts: list[str], parameters: dict[str, Any]
) -> None:
    assert read(tmp_path, document) == (prompts, parameters)


def test_the_documented_sample_is_a_request() -> None:
    prompts, parameters = read_request(ROOT / "docs" / "sample_request.json")
    assert prompts == ["Mary has a little lamb."]
    assert {"output_length", "top_k", "stop", "log_probs"} <= parameters.keys()


@pytest.mark.parametrize("document", [{"config": {"url": "localhost"}, "request": SAMPLE}, SAMPLE])
def test_the_original_examples_file_is_read(tmp_path: Path, document: Any) -> None:
    prompts, parameters = read(tmp_path, document)
    assert prompts == []
    assert parameters == {
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
    }


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
        (tensor("temperature", [[1.0], [0.5, 1]]), "temperature: must have one value, the same"),
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


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (1, "must be an object"),
        ([1], "request: must be a list of"),
        ({"prompt": 3}, "prompt: must be a text or a list of texts"),
        ({"prompt": [3]}, "prompt: must be a text or a list of texts"),
        ({"top_k": "10"}, "top_k: must be a whole number"),
        ({"request": 1}, "request: must be a list of"),
        ({"requests": []}, "requests: no such parameter"),
    ],
)
def test_a_broken_request_file_is_refused_by_name(
    tmp_path: Path, content: Any, problem: str
) -> None:
    with pytest.raises(InvalidRequestError, match=rf"(?s)request\.json: .*{problem}"):
        read(tmp_path, content)


def test_a_missing_request_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"none\.json: No such file"):
        read_request(tmp_path / "none.json")
