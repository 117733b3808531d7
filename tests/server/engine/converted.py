"""Converts a checkpoint, as `ft-serving weights prepare` does, for tests of what is computed."""

import io
from pathlib import Path

from ft_serving.core.dtypes import DType
from ft_serving.core.manifest import WEIGHTS_PATH
from ft_serving.core.progress import Progress
from ft_serving.core.storage import Storage
from ft_serving.weights.source import LocalSource
from tests.weights.world import prepare_source


def converted(checkpoint: Path, root: Path, dtype: DType, tensor_parallel: int) -> Path:
    """Convert a checkpoint into a storage; return the folder with the weight files."""
    storage = Storage(root)
    storage.create()
    progress = Progress(io.StringIO())
    settings = {"dtype": dtype, "compute_dtype": DType.FP32, "tensor_parallel": tensor_parallel}
    source = LocalSource(checkpoint, (), progress)
    return prepare_source(source, storage, progress, **settings).folder / WEIGHTS_PATH
