import json
from pathlib import Path

import pytest

from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES, read_architecture
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.gptj import GPTJ
from ft_serving.server.engine.config import WeightsConfig, read_config
from ft_serving.server.engine.numpy_engine import LAYERS
from ft_serving.server.errors import ServerError
from ft_serving.weights.layouts import render_config_ini
from tests.weights.models import CONFIG

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


def read(folder: Path, text: str) -> WeightsConfig:
    (folder / "config.ini").write_text(text)
    return read_config(folder)


def test_the_published_models_numbers_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, GPT_J_6B) == WeightsConfig(
        family=GPTJ,
        architecture=Architecture(
            heads=16,
            head_size=256,
            inner=16384,
            layers=28,
            vocabulary=50400,
            rotary=64,
            start_id=50256,
            end_id=50256,
            context=2048,
        ),
        dtype=DType.FP32,
    )


def test_the_context_is_the_one_that_config_pbtxt_says(tmp_path: Path) -> None:
    (tmp_path / "config.ini").write_text(GPT_J_6B)
    assert read_config(tmp_path, 512).architecture.context == 512


def test_what_the_conversion_writes_is_read_as_the_same_numbers(tmp_path: Path) -> None:
    family, architecture = read_architecture(json.dumps(CONFIG).encode())
    text = render_config_ini(family, architecture, DType.BF16, "a model")
    (tmp_path / "config.ini").write_text(text)
    assert read_config(tmp_path, architecture.context) == WeightsConfig(
        family=family, architecture=architecture, dtype=DType.BF16
    )


def test_every_family_that_can_be_converted_is_computed() -> None:
    assert LAYERS.keys() == FAMILIES.keys()


def test_the_syntax_is_that_of_fastertransformers_parser(tmp_path: Path) -> None:
    text = GPT_J_6B.replace("[gptj]", "; a comment\n[GPTJ]").replace(
        "head_num = 16", "Head_Num=0x10"
    )
    text = text.replace("fp32", "fp16  ; storage")
    config = read(tmp_path, text)
    assert config.architecture.heads == 16
    assert config.dtype is DType.FP16


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"config\.ini: no such file; name the folder"):
        read_config(tmp_path)


def test_a_section_of_no_known_family_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"must have a section .*\[gptj\].*; found \[bert\]"):
        read(tmp_path, GPT_J_6B.replace("[gptj]", "[bert]"))


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
        ("head_num = 16", "head_num = many", "head_num: must be a whole number; got 'many'"),
        ("head_num = 16", "head_num = 0", "head_num: must be at least 1; got 0"),
        ("num_layer = 28", "num_layer = -1", "num_layer: must be at least 1; got -1"),
        ("= 64", "= 63", "rotary_embedding: must be even and at most the head size 256; got 63"),
        ("= 64", "= 512", "rotary_embedding: must be even and at most the head size 256; got 512"),
        ("= 64", "= None", "rotary_embedding: must be a whole number; got 'None'"),
        (
            "end_id = 50256",
            "end_id = 50400",
            "end_id: must be a token id below the vocabulary's size 50400",
        ),
        ("fp32", "float32", "weight_data_type: must be fp32, fp16, bf16; got 'float32'"),
        ("fp32", "fp32\nnum_tasks = 2", "num_tasks: must be 0"),
    ],
)
def test_a_wrong_value_is_refused_by_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(ServerError) as caught:
        read(tmp_path, GPT_J_6B.replace(old, new))
    assert message in str(caught.value)
    assert str(tmp_path / "config.ini") in str(caught.value)


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"[gptj]\nhead_num = 1\nhead_num = 2\n", b"loose"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "config.ini").write_bytes(damage)
    with pytest.raises(ServerError, match="cannot be read"):
        read_config(tmp_path)
