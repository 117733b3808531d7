"""Names of releases."""

import re
from dataclasses import fields, replace

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.release import ReleaseFormat, ReleaseSpec

SPEC = ReleaseSpec(
    repository="EleutherAI/gpt-j-6b",
    revision="0" * 40,
    dtype=DType.FP16,
    tensor_parallel=2,
    pipeline_parallel=1,
    compute_dtype=DType.FP16,
    streaming=False,
    input_length=1024,
    output_length=None,
)

OTHER = {
    "repository": "EleutherAI/gpt-j-6B",
    "revision": "1" * 40,
    "dtype": DType.FP32,
    "tensor_parallel": 4,
    "pipeline_parallel": 2,
    "compute_dtype": DType.FP32,
    "streaming": True,
    "input_length": 512,
    "output_length": 256,
    "converter": SPEC.converter + 1,
    "format": ReleaseFormat.HUGGINGFACE,
}


def test_a_name_never_changes_for_the_same_settings() -> None:
    assert SPEC.name == "gpt-j-6b-fp16-tp2-3eff6e13883c", (
        "a changed name makes every deployment convert its weights anew; raise CONVERTER_VERSION "
        "where that is meant"
    )


@pytest.mark.parametrize("field", [field.name for field in fields(ReleaseSpec)])
def test_each_setting_that_decides_bytes_decides_the_name(field: str) -> None:
    changed = replace(SPEC, **{field: OTHER[field]})  # type: ignore[arg-type]  # by field name
    assert changed.name != SPEC.name


@pytest.mark.parametrize(
    "field", ["pipeline_parallel", "compute_dtype", "streaming", "input_length", "output_length"]
)
def test_settings_of_config_pbtxt_alone_leave_the_weights_the_same(field: str) -> None:
    changed = replace(SPEC, **{field: OTHER[field]})  # type: ignore[arg-type]  # by field name
    assert changed.weights == SPEC.weights


def test_a_release_in_hugging_faces_layout_is_one_for_any_number_of_gpus() -> None:
    release = replace(SPEC, format=ReleaseFormat.HUGGINGFACE)
    assert release.name == "gpt-j-6b-fp16-hf-6b13ad03674b"
    for field in ("tensor_parallel", "pipeline_parallel"):
        changed = replace(release, **{field: OTHER[field]})  # type: ignore[arg-type]  # by name
        assert (changed.name, changed.weights) == (release.name, release.weights)


@pytest.mark.parametrize("repository", ["a/B_c.d", "x" * 90, "owner/---", "tiny-gptj"])
def test_a_name_is_a_dns_label(repository: str) -> None:
    name = replace(SPEC, repository=repository).name
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name), name
