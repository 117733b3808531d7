"""Writes checkpoints with a published model's tensor shapes and random values."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from ft_serving.core.dtypes import DType
from ft_serving.core.families import FAMILIES, read_architecture
from ft_serving.weights.plan import source_rules

GPT_J_6B: Mapping[str, Any] = {
    "architectures": ["GPTJForCausalLM"],
    "model_type": "gptj",
    "activation_function": "gelu_new",
    "n_embd": 4096,
    "n_head": 16,
    "n_inner": None,
    "n_layer": 28,
    "n_positions": 2048,
    "rotary_dim": 64,
    "vocab_size": 50400,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
    "tie_word_embeddings": False,
}

GPT_NEOX_20B: Mapping[str, Any] = {
    "architectures": ["GPTNeoXForCausalLM"],
    "model_type": "gpt_neox",
    "hidden_act": "gelu_fast",
    "hidden_size": 6144,
    "num_attention_heads": 64,
    "intermediate_size": 24576,
    "num_hidden_layers": 44,
    "rotary_pct": 0.25,
    "rotary_emb_base": 10000,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "use_parallel_residual": True,
    "vocab_size": 50432,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "tie_word_embeddings": False,
}

PUBLISHED = {"gptj": GPT_J_6B, "neox": GPT_NEOX_20B}
"""The config.json of published models, as far as it says anything of their shape."""

FP32: Mapping[str, Any] = {"dtype": DType.FP32, "compute_dtype": DType.FP32, "tensor_parallel": 1}
"""The settings of a plain release in fp32, for one rank."""


def with_layers(config: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """Return a config.json that says another number of layers."""
    return {**config, FAMILIES[config["model_type"]].config_json["layers"]: layers}


def write_checkpoint(folder: Path, config: Mapping[str, Any]) -> int:
    """Write config.json and an fp32 model.safetensors; return the bytes of the latter.

    All tensors are held in memory meanwhile.
    """
    folder.mkdir(parents=True)
    text = json.dumps(dict(config))
    (folder / "config.json").write_text(text)
    generator = np.random.default_rng(0)
    tensors = {}
    for name, shape in tensor_shapes(text.encode()).items():
        tensors[name] = generator.standard_normal(shape, np.float32)
        tensors[name] *= 0.02
    path = folder / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    return path.stat().st_size


def tensor_shapes(config_json: bytes) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a checkpoint with this config.json, by its name."""
    family, architecture = read_architecture(config_json)
    return {
        name: rule.source_shape(architecture)
        for name, rule in source_rules(family, architecture).items()
    }
