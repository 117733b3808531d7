"""Small GPT-J checkpoints, written as transformers' save_pretrained writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from ft_serving.core.arrays import AnyArray
from ft_serving.core.dtypes import DType
from ft_serving.core.families import read_architecture
from ft_serving.core.manifest import Manifest
from ft_serving.core.release import ReleaseFormat, ReleaseSpec

SETTINGS: dict[str, Any] = {
    "dtype": DType.FP16,
    "compute_dtype": DType.FP16,
    "tensor_parallel": 2,
    "pipeline_parallel": 1,
    "streaming": False,
}
"""Those of a release, where a test says nothing else."""

HUGGING_FACE: dict[str, Any] = {"format": ReleaseFormat.HUGGINGFACE, "tensor_parallel": 1}

CONFIG: dict[str, Any] = {
    "architectures": ["GPTJForCausalLM"],
    "model_type": "gptj",
    "activation_function": "gelu_new",
    "n_embd": 128,
    "n_head": 4,
    "n_inner": None,
    "n_layer": 2,
    "rotary_dim": 16,
    "vocab_size": 96,
    "bos_token_id": 1,
    "eos_token_id": 1,
}

Values = Callable[[str, tuple[int, ...]], AnyArray]


def shapes(config: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of a `GPTJForCausalLM`, written out by hand."""
    hidden, vocabulary = config["n_embd"], config["vocab_size"]
    inner = config["n_inner"] or 4 * hidden
    result: dict[str, tuple[int, ...]] = {
        "transformer.wte.weight": (vocabulary, hidden),
        "transformer.ln_f.weight": (hidden,),
        "transformer.ln_f.bias": (hidden,),
        "lm_head.weight": (vocabulary, hidden),
        "lm_head.bias": (vocabulary,),
    }
    for layer in range(config["n_layer"]):
        prefix = f"transformer.h.{layer}"
        result |= {
            f"{prefix}.ln_1.weight": (hidden,),
            f"{prefix}.ln_1.bias": (hidden,),
            f"{prefix}.attn.q_proj.weight": (hidden, hidden),
            f"{prefix}.attn.k_proj.weight": (hidden, hidden),
            f"{prefix}.attn.v_proj.weight": (hidden, hidden),
            f"{prefix}.attn.out_proj.weight": (hidden, hidden),
            f"{prefix}.mlp.fc_in.weight": (inner, hidden),
            f"{prefix}.mlp.fc_in.bias": (inner,),
            f"{prefix}.mlp.fc_out.weight": (hidden, inner),
            f"{prefix}.mlp.fc_out.bias": (hidden,),
        }
    return result


def random_values(seed: int = 0, scale: float = 0.1) -> Values:
    """Values from a normal distribution; enough for none to equal another."""
    generator = np.random.default_rng(seed)

    def values(_name: str, shape: tuple[int, ...]) -> AnyArray:
        return generator.normal(0, scale, shape).astype(np.float32)

    return values


def state_dict(values: Values, config: dict[str, Any] = CONFIG) -> dict[str, AnyArray]:
    """A model's tensors by name."""
    return {name: values(name, shape) for name, shape in shapes(config).items()}


def write_checkpoint(
    folder: Path, tensors: dict[str, AnyArray], config: dict[str, Any] = CONFIG
) -> Path:
    """Write config.json and model.safetensors; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def random_checkpoint(folder: Path, config: dict[str, Any] = CONFIG, seed: int = 0) -> Path:
    """Write a checkpoint with random values; return its folder."""
    return write_checkpoint(folder, state_dict(random_values(seed), config), config)


def manifest(**changes: Any) -> Manifest:
    """Return the manifest of a release of CONFIG with SETTINGS, but for the changes; no files."""
    family, architecture = read_architecture(json.dumps(CONFIG).encode())
    settings = {**SETTINGS, **changes}
    return Manifest(
        spec=ReleaseSpec(repository="EleutherAI/gpt-j-6b", revision="main", **settings),
        family=family.model_type,
        architecture=architecture,
        origin="",
        source=(),
        created="",
        files=(),
    )
