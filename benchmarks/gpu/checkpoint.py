"""A checkpoint with a published model's shapes and random fp16 values, made on the GPU."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from benchmarks.synthetic import tensor_shapes


def write_random_checkpoint(folder: Path, config: Mapping[str, Any]) -> None:
    """Write config.json and model.safetensors."""
    folder.mkdir(parents=True)
    text = json.dumps(dict(config))
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
