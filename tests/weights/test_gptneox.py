"""GPT-NeoX: its config.json, and the bytes of its files.

NVIDIA's `huggingface_gptneox_convert.py` writes the same bytes in fp32.
"""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.families import read_architecture
from ft_serving.core.families.gptneox import GPTNEOX, NeoXArchitecture
from ft_serving.core.manifest import read_manifest
from ft_serving.core.release import ReleaseFormat
from ft_serving.weights import convert as convert_module
from ft_serving.weights.errors import WeightsError
from ft_serving.weights.plan import file_jobs, total_bytes
from tests.weights.models import HUGGING_FACE, random_values, write_checkpoint
from tests.weights.world import World

CONFIG: dict[str, Any] = {
    "model_type": "gpt_neox",
    "hidden_size": 128,
    "num_attention_heads": 4,
    "intermediate_size": 320,
    "num_hidden_layers": 2,
    "vocab_size": 96,
    "rotary_pct": 0.25,
    "hidden_act": "gelu",
    "bos_token_id": 0,
    "eos_token_id": 0,
}
GPT_NEOX_20B = CONFIG | {
    "hidden_size": 6144,
    "num_attention_heads": 64,
    "intermediate_size": 24_576,
    "num_hidden_layers": 44,
    "vocab_size": 50_432,
    "hidden_act": "gelu_fast",
    "rotary_emb_base": 10_000,
    "layer_norm_eps": 1e-05,
    "use_parallel_residual": True,
}


def tensors(seed: int = 0) -> dict[str, AnyArray]:
    """A checkpoint of CONFIG, whose names and shapes are written out by hand."""
    shapes: dict[str, tuple[int, ...]] = {
        "gpt_neox.embed_in.weight": (96, 128),
        "gpt_neox.final_layer_norm.weight": (128,),
        "gpt_neox.final_layer_norm.bias": (128,),
        "embed_out.weight": (96, 128),
    }
    for layer in range(2):
        shapes |= {
            f"gpt_neox.layers.{layer}.{name}": shape
            for name, shape in {
                "input_layernorm.weight": (128,),
                "input_layernorm.bias": (128,),
                "post_attention_layernorm.weight": (128,),
                "post_attention_layernorm.bias": (128,),
                "attention.query_key_value.weight": (384, 128),
                "attention.query_key_value.bias": (384,),
                "attention.dense.weight": (128, 128),
                "attention.dense.bias": (128,),
                "mlp.dense_h_to_4h.weight": (320, 128),
                "mlp.dense_h_to_4h.bias": (320,),
                "mlp.dense_4h_to_h.weight": (128, 320),
                "mlp.dense_4h_to_h.bias": (128,),
            }.items()
        }
    values = random_values(seed)
    return {name: values(name, shape) for name, shape in shapes.items()}


def expected_files(source: dict[str, AnyArray], ranks: int) -> dict[str, AnyArray]:
    """FasterTransformer's files of a checkpoint, from the description of the format."""
    files = {
        "model.wte": source["gpt_neox.embed_in.weight"],
        "model.lm_head.weight": source["embed_out.weight"],
        "model.final_layernorm.weight": source["gpt_neox.final_layer_norm.weight"],
        "model.final_layernorm.bias": source["gpt_neox.final_layer_norm.bias"],
    }
    for layer in range(2):
        to = f"model.layers.{layer}"
        of = {
            name.removeprefix(f"gpt_neox.layers.{layer}."): values
            for name, values in source.items()
        }
        for norm in ("input_layernorm", "post_attention_layernorm"):
            files |= {f"{to}.{norm}.{part}": of[f"{norm}.{part}"] for part in ("weight", "bias")}
        # Rows are [head][q, k, v][size of a head].
        weight = of["attention.query_key_value.weight"].reshape(4, 3, 32, 128)
        bias = of["attention.query_key_value.bias"].reshape(4, 3, 32)
        divided = {
            "attention.query_key_value.weight": (
                weight.transpose(3, 1, 0, 2).reshape(128, 3, 128),
                2,
            ),
            "attention.query_key_value.bias": (bias.transpose(1, 0, 2).reshape(3, 128), 1),
            "attention.dense.weight": (of["attention.dense.weight"].T, 0),
            "mlp.dense_h_to_4h.weight": (of["mlp.dense_h_to_4h.weight"].T, 1),
            "mlp.dense_h_to_4h.bias": (of["mlp.dense_h_to_4h.bias"], 0),
            "mlp.dense_4h_to_h.weight": (of["mlp.dense_4h_to_h.weight"].T, 0),
        }
        for name, (values, axis) in divided.items():
            for rank, part in enumerate(np.split(values, ranks, axis=axis)):
                files[f"{to}.{name}.{rank}"] = part
        biases = [of[f"{name}.bias"] / ranks for name in ("attention.dense", "mlp.dense_4h_to_h")]
        files[f"{to}.attention.dense.bias"], files[f"{to}.mlp.dense_4h_to_h.bias"] = biases
        files[f"{to}.mlp.attention.bias.sum"] = biases[0] + biases[1]
    return files


@pytest.fixture
def neox(world: World) -> World:
    write_checkpoint(world.checkpoint, tensors(), CONFIG)
    return world


@pytest.mark.parametrize(
    ("dtype", "ranks"), [(DType.FP32, 1), (DType.FP32, 2), (DType.FP32, 4), (DType.FP16, 2)]
)
def test_the_files_are_those_that_fastertransformer_reads(
    neox: World, dtype: DType, ranks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_module, "BLOCK_BYTES", 1000)
    folder = neox.prepare(dtype=dtype, tensor_parallel=ranks).folder / "fastertransformer"
    found = {path.stem: path.read_bytes() for path in (folder / "1").glob("*.bin")}
    files = expected_files(tensors(), ranks)
    assert found.keys() == files.keys()
    for name, values in files.items():
        assert found[name] == values.astype(dtype.numpy).tobytes(), name
    config_ini = (folder / "1" / "config.ini").read_text().splitlines()
    assert config_ini == [
        "[gptneox]",
        "model_name = tiny-model",
        "head_num = 4",
        "size_per_head = 32",
        "inter_size = 320",
        "num_layer = 2",
        "vocab_size = 96",
        "rotary_embedding = 8",
        "start_id = 0",
        "end_id = 0",
        "use_gptj_residual = 1",
        "exact_gelu = 1",
        f"weight_data_type = {dtype}",
    ]
    config_pbtxt = (folder / "config.pbtxt").read_text()
    assert 'key: "model_type" value { string_value: "GPT-NeoX" }' in config_pbtxt


def test_without_the_parallel_residual_there_is_no_sum_and_one_rank(world: World) -> None:
    write_checkpoint(world.checkpoint, tensors(), CONFIG | {"use_parallel_residual": False})
    folder = world.prepare(tensor_parallel=1).folder / "fastertransformer" / "1"
    found = {path.stem for path in folder.glob("*.bin")}
    assert found == {name for name in expected_files(tensors(), 1) if not name.endswith(".sum")}
    assert "\nuse_gptj_residual = 0\n" in (folder / "config.ini").read_text()
    message = world.refused(WeightsError)
    assert "must be 1 for a model whose config.json says use_parallel_residual false" in message


def test_a_sum_that_does_not_fit_is_told_by_the_names_of_its_terms(world: World) -> None:
    source = tensors()
    names = [f"gpt_neox.layers.1.{each}.bias" for each in ("attention.dense", "mlp.dense_4h_to_h")]
    for name in names:
        source[name][7] = 40_000
    write_checkpoint(world.checkpoint, source, CONFIG)
    message = world.refused(WeightsError, tensor_parallel=1)
    assert f"The sum of tensors {' and '.join(names)} holds 80000, which does not fit" in message


def test_gpt_neox_20b_has_as_many_files_and_bytes_as_from_nvidias_converter() -> None:
    family, architecture = read_architecture(json.dumps(GPT_NEOX_20B).encode())
    for ranks in (1, 2):
        jobs = file_jobs(family, architecture, ranks)
        # config.ini is one more; the sums of biases are no weights of their own.
        assert len(jobs) == 4 + 44 * (7 + 6 * ranks)
        assert total_bytes(jobs, DType.FP32) == (20_554_567_680 + 44 * 6144) * 4
    assert architecture.rotary == 24


def test_vllm_gets_the_names_of_old_and_new_versions_of_transformers(world: World) -> None:
    rope = {"rope_theta": 500_000, "partial_rotary_factor": 0.5, "rope_type": "default"}
    config = {key: value for key, value in CONFIG.items() if key != "rotary_pct"}
    config |= {"rope_parameters": rope, "layer_norm_eps": 1e-6, "tie_word_embeddings": False}
    write_checkpoint(world.checkpoint, tensors(), config)
    prepared = world.prepare(**HUGGING_FACE)
    found = json.loads((prepared.folder / "fastertransformer/1/config.json").read_text())
    assert found == config | {
        "architectures": ["GPTNeoXForCausalLM"],
        "rotary_pct": 0.5,
        "partial_rotary_factor": 0.5,
        "rotary_emb_base": 500_000,
        "rope_theta": 500_000,
        "rope_parameters": rope,
        "dtype": "float16",
        "torch_dtype": "float16",
    }
    architecture = read_manifest(prepared.folder).architecture
    assert isinstance(architecture, NeoXArchitecture)
    assert (architecture.rotary, architecture.rotary_base) == (16, 500_000)


@pytest.mark.parametrize("activation", ["gelu_new", "gelu_fast", "gelu_pytorch_tanh"])
def test_every_gelu_by_tanh_is_the_same(activation: str) -> None:
    assert not read(hidden_act=activation).exact_gelu


def test_the_share_that_is_written_gives_the_same_rotation() -> None:
    for size in range(2, 257):
        for rotary in range(2, size, 2):
            config = GPTNEOX.hugging_face(replace(read(), head_size=size, rotary=rotary))
            share: Any = config["rotary_pct"]
            assert int(size * share) == rotary


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "silu"}, "hidden_act: the engines compute gelu, gelu_new, gelu_fast"),
        ({"rotary_pct": 0.3}, "rotary_pct: must be a share that is an even number of a head's 32"),
        ({"rotary_pct": 1.5}, "rotary_pct: must be a share that is an even number of a head's 32"),
        (
            {"rotary_pct": None, "rope_parameters": {"partial_rotary_factor": 0.3}},
            "rope_parameters.partial_rotary_factor: must be a share that is an even number of a h",
        ),
        ({"rotary_pct": "all"}, "rotary_pct: must be a number above 0; got 'all'"),
        ({"rotary_pct": 1e999}, "rotary_pct: must be a number above 0; got inf"),
        ({"rotary_emb_base": 10**400}, "rotary_emb_base: must be a number above 0; got 1000"),
        ({"rope_theta": 5e5}, "rope_theta: FasterTransformer computes 10000 only; prepare the for"),
        (
            {"rope_theta": 5e5, "rotary_emb_base": 1e4},
            "rope_theta: must be 10000.0, as rotary_emb_base is; got 500000.0",
        ),
        (
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "rotary_pct: must be 0.5, as rope_parameters.partial_rotary_factor is; got 0.25",
        ),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters.rope_type: the engines"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling.type: the engines compute def"),
        ({"layer_norm_eps": 1e-12}, "layer_norm_eps: FasterTransformer computes 1e-05 only"),
        ({"attention_bias": False}, "attention_bias: must be true"),
        ({"tie_word_embeddings": True}, "tie_word_embeddings: must be false. Give embed_out val"),
        ({"use_parallel_residual": 1}, "use_parallel_residual: must be true or false; got 1"),
        ({"max_position_embeddings": 0}, "max_position_embeddings: must be an integer of at least"),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FtServingError) as caught:
        read(**change)
    assert message in str(caught.value)


def test_an_old_checkpoints_buffers_are_ignored(world: World) -> None:
    source = tensors()
    for layer in range(2):
        attention = f"gpt_neox.layers.{layer}.attention"
        source[f"{attention}.bias"] = np.ones((1, 1, 8, 8), np.uint8)
        source[f"{attention}.masked_bias"] = np.full((), -1e9, np.float32)
        source[f"{attention}.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    write_checkpoint(world.checkpoint, source, CONFIG)
    found = world.prepare().folder / "fastertransformer" / "1"
    assert len(list(found.glob("*.bin"))) == len(expected_files(source, 2))


def read(
    release_format: ReleaseFormat = ReleaseFormat.FASTERTRANSFORMER, **changes: Any
) -> NeoXArchitecture:
    _, architecture = read_architecture(json.dumps(CONFIG | changes).encode(), release_format)
    assert isinstance(architecture, NeoXArchitecture)
    return architecture
