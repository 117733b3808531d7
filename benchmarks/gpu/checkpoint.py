"""A checkpoint with a published model's shapes and random fp16 values, made on the GPU."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.synthetic import GPT_J_6B, tensor_shapes

GPT_NEOX_20B = {
    "architectures": ["GPTNeoXForCausalLM"],
    "model_type": "gpt_neox",
    "attention_bias": True,
    "hidden_act": "gelu_fast",
    "hidden_size": 6144,
    "intermediate_size": 24576,
    "layer_norm_eps": 1e-5,
    "max_position_embeddings": 2048,
    "num_attention_heads": 64,
    "num_hidden_layers": 44,
    "rotary_emb_base": 10000,
    "rotary_pct": 0.25,
    "use_parallel_residual": True,
    "vocab_size": 50432,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
"""EleutherAI/gpt-neox-20b's config.json, as far as it says anything of the model's shape."""

CONFIGS = {"gptj": {**GPT_J_6B, "n_positions": 2048}, "neox": GPT_NEOX_20B}
"""The models' configurations, by the beginning of their steps' names."""


def write_random_checkpoint(folder: Path, config: dict[str, Any]) -> None:
    """Write config.json and model.safetensors."""
    folder.mkdir(parents=True)
    text = json.dumps({**config, "tie_word_embeddings": False})
    (folder / "config.json").write_text(text)
    torch.manual_seed(0)
    tensors = {}
    for name, shape in tensor_shapes(text.encode()).items():
        values = torch.randn(shape, dtype=torch.float16, device="cuda") * 0.02
        # A norm that multiplies by next to nothing would leave no signal.
        if len(shape) == 1 and name.endswith("weight"):
            values += 1
        tensors[name] = values.cpu()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
