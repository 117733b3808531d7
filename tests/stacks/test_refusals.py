"""Wrong configurations are refused, each in its words."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from stacks.config import StackConfig
from stacks.gpus import GPUS
from stacks.parse import section_type
from stacks.sections import Section
from tests.stacks.documents import (
    CPU,
    GPU,
    MISSING,
    OTHER_MODEL,
    VLLM,
    Document,
    config,
    problems,
)

CASES: list[tuple[str, Document, list[str]]] = [
    (
        start,
        {path: MISSING if value == "MISSING" else value for path, value in changes.items()},
        lines,
    )
    for start, changes, *lines in yaml.safe_load(
        Path(__file__).with_name("refusals.yaml").read_text()
    )
]
STARTS = {"gpu": GPU, "vllm": VLLM, "cpu": CPU}

_TYPE = f"({'|'.join(sorted(GPUS, key=len, reverse=True))})"
_GPUS = re.compile(f"({_TYPE}, ){{3,}}{_TYPE} or ({_TYPE}|none)")
"""Types of GPU, of which a catalogue that grows has others; a proposal of a few is told."""


@pytest.mark.parametrize(("start", "changes", "lines"), CASES)
def test_a_wrong_setting_is_refused_by_path_rule_value_and_remedy(
    start: str, changes: Document, lines: list[str]
) -> None:
    found = problems(STARTS[start], changes)
    assert [_GPUS.sub("{GPUs}", line) for line in found] == lines


def _settings(section: type[Section], path: str) -> Iterator[str]:
    for field in section.model_fields.values():
        inner = section_type(field.annotation)
        if inner is None:
            yield f"{path}.{field.alias}"
        else:
            yield from _settings(inner, f"{path}.{field.alias}")


# Six numbers with one rule, of which one has a case; the tokenizer's settings are the model's, and
# the images are of one kind.
_ALIKE = (
    "model.dimensions.",
    "tokenizer.",
    "image.weights.",
    "image.client.",
    "image.openai.",
)


def test_every_setting_has_a_case() -> None:
    told = {
        line.partition(":")[0].replace("[0]", "").replace("[1]", "")
        for _, _, lines in CASES
        for line in lines
    }
    settings = {
        setting
        for field in StackConfig.model_fields.values()
        if (section := section_type(field.annotation))
        for setting in _settings(section, str(field.alias))
        if not setting.startswith(_ALIKE)
    }
    missing = {each for each in settings if not any(one.startswith(each) for one in told)}
    assert not missing


def test_all_that_is_wrong_is_told_at_once() -> None:
    found = problems(
        GPU,
        {
            "model.dtype": "int8",
            "serving.inputLength": 0,
            "storage.protect": "no",
            "replicas": {"min": 4, "max": 2},
            "colour": "blue",
        },
    )
    assert [line.partition(":")[0] for line in found] == [
        "colour",
        "model.dtype",
        "serving.inputLength",
        "storage.protect",
        "replicas.max",
    ], "rules hold among the sections that are valid by themselves"


def test_a_password_comes_with_a_user() -> None:
    (line,) = problems(GPU, {}, "registryPassword")
    assert line == (
        "image.username: must be set together with the secret registryPassword; "
        "got nothing for the username; use the registry's user"
    )
    assert config(GPU, {"image.username": "me"}, "registryPassword").image.username == "me"


def test_a_token_is_never_sent_in_plain_sight() -> None:
    (line,) = problems(GPU, {"hub": {"endpoint": "http://hub.example"}}, "hubToken")
    assert line == (
        "hub.endpoint: must be https while the secret hubToken is set, which anyone could read; "
        "got 'http://hub.example'; use an https address, or no hubToken"
    )
    assert config(GPU, {}, "hubToken").hub.endpoint == "https://huggingface.co"


def test_no_proposal_that_does_not_fit() -> None:
    """Each of the proposals of a refusal is taken up, and must then be accepted."""
    (line,) = problems(GPU, {"gpu.type": "RTX_A4000", "serving.batch": 16})
    assert line.endswith("use gpu.tensorParallel 4, or gpu.type V100_32GB, or serving.batch 2")
    config(GPU, {"gpu.type": "RTX_A4000", "serving.batch": 16, "gpu.tensorParallel": 4})
    config(GPU, {"gpu.type": "V100_32GB", "serving.batch": 16})
    config(GPU, {"gpu.type": "RTX_A4000", "serving.batch": 2})
    for refused in ({"gpu.tensorParallel": 2}, {"gpu.type": "RTX_A5000"}):
        problems(GPU, {"gpu.type": "RTX_A4000", "serving.batch": 16, **refused})
    problems(GPU, {"gpu.type": "RTX_A4000", "serving.batch": 3})


def test_where_no_single_change_helps_the_model_or_its_texts_must_change() -> None:
    huge = {**OTHER_MODEL, "hiddenSize": 4096, "innerSize": 1 << 20, "layers": 512}
    found = problems(
        GPU,
        {
            "model.repository": "me/huge",
            "model.dimensions": huge,
            "golden": {"prompt": "a", "outputLength": 1, "expectedWords": ["b"]},
        },
    )
    (line,) = [line for line in found if line.startswith("gpu: ")]
    assert line.endswith("; use shorter texts, or a smaller model")


def test_a_model_that_is_not_built_in_needs_its_numbers_and_a_question() -> None:
    found = config(
        GPU,
        {
            "model.repository": "me/other",
            "model.dimensions": OTHER_MODEL,
            "golden": {"prompt": "a", "outputLength": 2, "expectedTokenIds": [1, 2]},
        },
    )
    assert found.blueprint.shape.hidden == 1024
    assert found.golden_question.expected_token_ids == (1, 2)


def test_a_known_model_is_known_in_any_case_and_may_repeat_its_numbers() -> None:
    numbers = {**OTHER_MODEL, "hiddenSize": 4096, "layers": 28}
    numbers |= {"innerSize": 16_384, "vocabularySize": 50_400}
    found = config(GPU, {"model.repository": "EleutherAI/gpt-j-6B", "model.dimensions": numbers})
    assert found.blueprint.shape.layers == 28
    assert found.release.repository == "EleutherAI/gpt-j-6B"


def test_a_tokenizer_of_its_own_is_taken() -> None:
    found = config(GPU, {"tokenizer": {"repository": "me/words", "revision": "0" * 40}})
    assert found.tokenizer_source == f"me/words@{'0' * 40}"


def test_whole_cores_may_be_numbers() -> None:
    assert config(GPU, {"resources": {"cpu": 4}}).server_resources.cpu == "4"
    assert config(GPU, {"resources": {"cpu": "500m"}}).server_resources.cpu == "500m"


@pytest.mark.parametrize(
    ("changes", "metric", "target", "concurrency"),
    [
        ({}, "concurrency", 4, 4),
        ({"replicas": {"containerConcurrency": 2}}, "concurrency", 2, 2),
        ({"replicas": {"scaleMetric": "rps"}}, "rps", 1, 4),
        ({"serving.mode": "Standard"}, "cpu", 80, None),
        ({"serving.mode": "Standard", "replicas": {"scaleTarget": 50}}, "cpu", 50, None),
    ],
)
def test_scaling_has_defaults_for_each_mode(
    changes: Document, metric: str, target: int, concurrency: int | None
) -> None:
    scaling = config(GPU, changes).scaling
    assert (scaling.metric, scaling.target) == (metric, target)
    assert scaling.container_concurrency == concurrency
