"""config.ini is read as the conversion writes it, or refused by key."""

import json
from pathlib import Path
from typing import Any

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES, read_architecture
from ft_serving.server.engine.config import WeightsConfig, read_config
from ft_serving.server.engine.numpy_engine import LAYERS
from ft_serving.server.errors import ServerError
from ft_serving.weights.layouts import render_config_ini
from tests.weights.models import CONFIG

NEOX_CONFIGS = [
    {"model_type": "gpt_neox", "hidden_size": 128, "num_attention_heads": 4, "vocab_size": 96}
    | {"intermediate_size": 512, "num_hidden_layers": 2, "hidden_act": act}
    | {"use_parallel_residual": parallel}
    for act, parallel in (("gelu", False), ("gelu_fast", True))
]

GPT_J_6B = """
[gptj]
model_name = gptj-6B
head_num = 16
size_per_head = 256
inter_size = 16384
num_layer = 28
vocab_size = 50400
rotary_embedding = 64
start_id = 50256
end_id = 50256
weight_data_type = fp32
"""


def read(folder: Path, text: str, context: int | None = None) -> WeightsConfig:
    (folder / "config.ini").write_text(text)
    return read_config(folder, context)


def test_the_published_models_numbers_are_read_in_the_syntax_of_fastertransformers_parser(
    tmp_path: Path,
) -> None:
    plain = read(tmp_path, GPT_J_6B)
    numbers = plain.architecture
    assert (numbers.heads, numbers.inner, numbers.end_id) == (16, 16384, 50256)
    assert numbers.context == 2048, "the published model's, unless config.pbtxt says another"
    text = GPT_J_6B.replace("[gptj]", "; a comment\n[GPTJ]").replace(
        "head_num = 16", "Head_Num=0x10"
    )
    assert read(tmp_path, text.replace("fp32", "fp32  ; storage")) == plain


@pytest.mark.parametrize("config", [CONFIG, *NEOX_CONFIGS])
def test_what_the_conversion_writes_is_read_as_the_same_numbers(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    family, architecture = read_architecture(json.dumps(config).encode())
    text = render_config_ini(family, architecture, DType.BF16, "a model")
    assert read(tmp_path, text, architecture.context) == WeightsConfig(
        family=family, architecture=architecture, dtype=DType.BF16
    )


def test_every_family_that_can_be_converted_is_computed() -> None:
    assert LAYERS.keys() == FAMILIES.keys()


def test_every_missing_key_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as caught:
        read(tmp_path, "[gptj]\nmodel_name = x\nhead_num = 16\nsize_per_head = 256\n")
    message = str(caught.value)
    for key in ("inter_size", "num_layer", "vocab_size", "rotary_embedding", "start_id", "end_id"):
        assert f"{key}: is required and missing" in message
    assert "weight_data_type: is required and missing" in message, "FasterTransformer exits for it"
    assert message.count(";") == 6, "what is missing breaks no other rule"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[gptj]", "[bert]", "must have a section [gptj] or [gptneox]; found [bert]"),
        ("head_num = 16", "head_num = many", "head_num: must be a whole number; got 'many'"),
        ("head_num = 16", "head_num = 0", "head_num: must be at least 1; got 0"),
        ("= 64", "= 63", "rotary_embedding: must be even and at most the head size 256; got 63"),
        ("= 64", "= 512", "rotary_embedding: must be even and at most the head size 256; got 512"),
        ("= 64", "= None", "rotary_embedding: must be a whole number; got 'None'"),
        ("end_id = 50256", "end_id = 50400", "must be a token id below the vocabulary's size"),
        ("fp32", "float32", "weight_data_type: must be fp32, fp16, bf16; got 'float32'"),
        ("fp32", "fp32\nnum_tasks = 2", "num_tasks: must be 0"),
        ("end_id", "head_num = 1\nend_id", "cannot be read"),
        ("[gptj]", "loose", "cannot be read"),
    ],
)
def test_a_wrong_value_is_refused_by_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ServerError) as caught:
        read(tmp_path, GPT_J_6B.replace(old, new))
    assert message in str(caught.value)
    assert str(tmp_path / "config.ini") in str(caught.value)


def test_a_flag_must_be_0_or_1(tmp_path: Path) -> None:
    text = GPT_J_6B.replace("[gptj]", "[gptneox]\nuse_gptj_residual = 2\nexact_gelu = yes")
    with pytest.raises(ServerError) as caught:
        read(tmp_path, text)
    for flag in ("use_gptj_residual: must be 0 or 1; got '2'", "exact_gelu: must be 0 or 1; got"):
        assert flag in str(caught.value)


def test_a_missing_and_an_unreadable_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"config\.ini: no such file; name the folder"):
        read_config(tmp_path)
    (tmp_path / "config.ini").write_bytes(b"\xff\xfe")
    with pytest.raises(ServerError, match="cannot be read"):
        read_config(tmp_path)
