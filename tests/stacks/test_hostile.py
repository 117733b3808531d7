"""Configurations that no person would write, or one in a hurry."""

from typing import Any

import pytest
import yaml

from stacks.errors import ConfigError
from stacks.parse import parse_config
from tests.stacks.documents import GPU, config, problems

SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "model:",
        "model: []",
        "model: {}\ngpu: 3\nserving: text\nstorage: [1]\nimage: true",
        "model: {repository: 12, revision: 1e3, dtype: [fp16]}",
        "model: {repository: {a: b}, revision: 2024-01-01}",
        "gpu: {type: yes, tensorParallel: 0x10, pipelineParallel: 010}",
        "serving: {batch: .inf, inputLength: .nan, outputLength: -.inf}",
        "serving: {batch: 8.0, inputLength: 1e3}",
        "replicas: {min: 99999999999999999999999999, max: -1}",
        "storage: {size: 1e400}",
        "'': {'': ''}",
        "1: 2\nnull: 3\ntrue: {}",
        "cost: {gpuHour: {A40: .nan}}",
        "golden: {prompt: !!binary aGk=, outputLength: 1, expectedWords: !!set {a, b}}",
        "x: &x {y: 1}\nmodel: *x\ngpu: *x",
    ],
)
def test_it_is_refused_in_lines_and_never_by_a_crash(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(yaml.safe_load(text), frozenset())
    for line in str(caught.value).splitlines():
        path, _, rest = line.partition(": ")
        assert path, line
        assert "; got " in rest, line
        assert "; use " in rest, line


@pytest.mark.parametrize("path", ["batch", "inputLength", "outputLength"])
@pytest.mark.parametrize("value", ["8", 8.5, True, None, [8], {"a": 8}, float("inf")])
def test_only_a_whole_number_is_one(path: str, value: object) -> None:
    (line,) = problems(GPU, {f"serving.{path}": value})
    assert line.startswith(f"serving.{path}: must be a whole number in its range; got ")


@pytest.mark.parametrize(
    "repository",
    ["..", "../x", "a/../b", "a//b", "/a", "a/", "a/b/c", "a b", "a\n", "", "-a", "a@b", "ä/b"],
)
def test_a_repository_cannot_lead_elsewhere(repository: str) -> None:
    (line, *_) = problems(GPU, {"model.repository": repository})
    assert line.startswith("model.repository: must be a repository on the hub")


@pytest.mark.parametrize(
    "revision", ["main", "A" * 40, "0" * 39, "0" * 41, "0" * 40 + "\n", " " + "0" * 40]
)
def test_a_revision_is_a_commit_and_nothing_else(revision: str) -> None:
    (line,) = problems(GPU, {"model.revision": revision})
    assert line.startswith("model.revision: must be a commit")


@pytest.mark.parametrize(
    "reference",
    [
        "name",
        "host/name:latest",
        "host/name:1",
        "host/name@sha256:" + "0" * 63,
        "HOST/name@sha256:" + "0" * 64,
        "host/name@sha512:" + "0" * 64,
    ],
)
def test_an_existing_image_is_named_by_its_digest(reference: str) -> None:
    (line,) = problems(GPU, {"image.server.existing": reference})
    assert line.startswith("image.server.existing: must be an image by its digest")


@pytest.mark.parametrize(
    ("reference", "accepted"),
    [
        ("python:3.11-slim", True),
        ("localhost:5000/platform/debian:current", True),
        ("nvcr.io/nvidia/tritonserver@sha256:" + "0" * 64, True),
        ("python:3.11@sha256:" + "0" * 64, True),
        ("python", False),
        ("python:latest", False),
        ("localhost:5000/python", False),
        ("localhost:5000/python:latest", False),
        ("python:", False),
        ("", False),
    ],
)
def test_a_base_image_has_a_digest_or_a_tag_that_stays(reference: str, accepted: bool) -> None:
    changes = {"image.weights": {"args": {"BASE_IMAGE": reference}}}
    if accepted:
        assert config(GPU, changes).image.weights.args == {"BASE_IMAGE": reference}
    else:
        (line,) = problems(GPU, changes)
        assert line.startswith("image.weights.args.BASE_IMAGE: must be an image by its digest")


@pytest.mark.parametrize(
    "changes",
    [
        {"image.password": SECRET},
        {"hub": {"token": SECRET}},
        {"hubtoken": SECRET},
        {"image.registryPassword": {"secure": SECRET}},
        {"hub": {"endpoint": f"https://me:{SECRET}@hub.example"}},
    ],
)
def test_a_password_in_the_wrong_place_is_not_shown(changes: dict[str, Any]) -> None:
    assert SECRET not in "\n".join(problems(GPU, changes))


def test_a_value_stays_on_its_line() -> None:
    (line,) = problems(GPU, {"gpu.type": "a\nb: c"})
    assert r"'a\nb: c'" in line


def test_python_s_names_are_not_those_of_yaml() -> None:
    (line,) = problems(GPU, {"cluster": {"namespace": "a"}, "cold_start": {"budgetSeconds": 60}})
    assert line == "cold_start: is no setting; got a value; use coldStart"
