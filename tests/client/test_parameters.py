"""What may be asked of a generation."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_serving.client.errors import InvalidRequestError
from ft_serving.client.parameters import LARGEST_FP32, checked
from ft_serving.client.request_file import read_request
from ft_serving.core.parameters import PARAMETERS


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
        ("output_length", 2**31, "must be a whole number from 1 to 2147483647"),
        ("output_length", 8.0, "must be a whole number"),
        ("output_length", True, "must be a whole number"),
        ("top_k", -1, "must be a whole number from 0 to 1024"),
        ("top_k", 1025, "must be a whole number from 0 to 1024"),
        ("top_p", 1.01, "must be a number from 0 to 1"),
        ("top_p", float("nan"), "must be a number from 0 to 1"),
        ("temperature", -0.5, "must be a number of at least 0"),
        ("temperature", float("inf"), "must be a number of at least 0"),
        ("temperature", 1e39, "must be a number of at least 0, at most 3.4e.38; got 1e.39"),
        ("len_penalty", -1e39, "must be a finite number, at most 3.4e.38 either way"),
        ("repetition_penalty", 0, "must be a number above 0"),
        ("presence_penalty", float("nan"), "must be a finite number"),
        ("seed", 2**64, "must be a whole number from 0 to 18446744073709551615"),
        ("beam_width", 65, "must be a whole number from 1 to 64"),
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
        checked({"top_k": -1, "top_p": 2, "beam_width": 0, "nonsense": 1})
    assert [line.split(":")[0].strip() for line in str(refused.value).splitlines()[1:]] == [
        "top_k",
        "top_p",
        "beam_width",
        "nonsense",
    ]


def test_two_penalties_that_exclude_each_other_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="give one of the two"):
        checked({"repetition_penalty": 1.2, "presence_penalty": 0.5})


@pytest.mark.parametrize("given", [{"min_length": 65}, {"min_length": 5, "output_length": 4}])
def test_a_text_cannot_be_longer_at_least_than_at_most(given: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError, match="min_length: must be at most the output length"):
        checked(given)


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_a_request_file_holds_prompts_and_parameters(tmp_path: Path) -> None:
    file = write(tmp_path / "request.json", {"prompt": "Mary", "top_k": 10, "stop": ["."]})
    assert read_request(file) == (["Mary"], {"top_k": 10, "stop": ["."]})
    file = write(tmp_path / "request.json", {"prompt": ["Mary", "Jack"]})
    assert read_request(file) == (["Mary", "Jack"], {})
    assert read_request(write(tmp_path / "request.json", {})) == ([], {})


def test_the_documented_sample_is_a_request() -> None:
    sample = Path(__file__).parents[2] / "docs" / "sample_request.json"
    prompts, parameters = read_request(sample)
    assert prompts == ["Mary has a little lamb."]
    assert {"output_length", "top_k", "stop", "log_probs"} <= parameters.keys()


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_documentation_says_what_a_parameter_does(name: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    assert f"| `--{name.replace('_', '-')}`, `{name}` |" in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is no JSON"),
        ("1", "must be an object"),
        ("[1]", "request: must be a list of"),
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
    file = write(tmp_path / "request.json", content)
    with pytest.raises(InvalidRequestError, match=problem) as refused:
        read_request(file)
    assert str(refused.value).startswith(str(file))


def test_a_missing_request_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"none\.json: No such file"):
        read_request(tmp_path / "none.json")
