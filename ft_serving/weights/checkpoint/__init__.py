"""Readers of published checkpoints: memory-mapped, without torch, running no code from a file.

They read safetensors and the zip format of `torch.save` (torch 1.6 and later), each as one file or
sharded with an index, as Hugging Face repositories hold them.
"""

from ft_serving.weights.checkpoint.mapping import Checkpoint, open_checkpoint
from ft_serving.weights.checkpoint.selection import select
from ft_serving.weights.checkpoint.tensor import Tensor

__all__ = ["Checkpoint", "Tensor", "open_checkpoint", "select"]
