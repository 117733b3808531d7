"""Writes checkpoints with a published model's tensor shapes and random values; releases of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from ft_serving.core.dtypes import DType
from ft_serving.core.families import read_architecture
from ft_serving.core.release import ReleaseSpec
from ft_serving.weights.source import LocalSource

GPT_J_6B = {
    "architectures": ["GPTJForCausalLM"],
    "model_type": "gptj",
    "activation_function": "gelu_new",
    "n_embd": 4096,
    "n_head": 16,
    "n_inner": None,
    "n_layer": 28,
    "rotary_dim": 64,
    "vocab_size": 50400,
    "bos_token_id": 50256,
    "eos_token_id": 50256,
}


def write_checkpoint(folder: Path, config: dict[str, Any]) -> int:
    """Write config.json and an fp32 model.safetensors; return the bytes of the latter.

    All tensors are held in memory meanwhile.
    """
    folder.mkdir(parents=True)
    text = json.dumps(config)
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
        source.replace("{layer}", str(layer)): rule.source_shape(architecture)
        for rule in family.rules
        for layer in range(architecture.layers if rule.per_layer else 1)
        for source in rule.sources
    }


def fp32_release(source: LocalSource) -> ReleaseSpec:
    """Return the plain release of a checkpoint in fp32, for one rank."""
    return ReleaseSpec(
        repository=source.repository,
        revision=source.revision,
        dtype=DType.FP32,
        compute_dtype=DType.FP32,
        tensor_parallel=1,
        pipeline_parallel=1,
        streaming=False,
    )
