"""Bytes of FasterTransformer's files."""

import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ft_serving.core.arrays import AnyArray
from ft_serving.core.dtypes import DType
from ft_serving.core.families import read_architecture
from ft_serving.weights import convert as convert_module
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.convert import convert
from ft_serving.weights.errors import WeightsError
from ft_serving.weights.plan import TensorJob, file_jobs
from tests.weights.models import CONFIG, random_values, state_dict, write_checkpoint


class CountingTask:
    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def advance(self, nbytes: int) -> None:
        with self._lock:
            self.bytes += nbytes

    def finish(self) -> None:
        pass


def convert_model(
    tmp_path: Path,
    tensors: dict[str, AnyArray],
    dtype: DType = DType.FP32,
    ranks: int = 1,
    config: dict[str, Any] = CONFIG,
) -> Path:
    folder = write_checkpoint(tmp_path / "source", tensors, config)
    target = tmp_path / f"{dtype}-{ranks}"
    target.mkdir()
    family, architecture = read_architecture((folder / "config.json").read_bytes())
    jobs = file_jobs(family, architecture, ranks)
    task = CountingTask()
    with open_checkpoint(folder) as checkpoint:
        written = convert(checkpoint, jobs, dtype, target, task)
    assert {f.path: f.size for f in written} == {p.name: p.stat().st_size for p in target.iterdir()}
    assert task.bytes == sum(f.size for f in written)
    return target


def test_literal_bytes_of_every_transform(tmp_path: Path) -> None:
    """Two ranks of a 2 x 2 model, written out by hand from the format's definition."""
    source = {
        "plain": np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32),
        "vector": np.array([1, 2, 3, 4], np.float32),
        "q": np.array([[1, 2], [3, 4]], np.float32),
        "k": np.array([[5, 6], [7, 8]], np.float32),
        "v": np.array([[9, 10], [11, 12]], np.float32),
        "out": np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32),
    }
    folder = write_checkpoint(tmp_path / "source", source)
    jobs = [
        job("plain.bin", ("plain",), rows=(0, 2), columns=(0, 4)),
        job("vector.1.bin", ("vector",), rows=(0, 1), columns=(2, 4)),
        # [out, in] to [in][q, k, v][out]; rank 1 of two has the second output of each.
        job("qkv.1.bin", ("q", "k", "v"), transpose=True, rows=(0, 2), columns=(1, 2)),
        # [out, in] to [in, out]; rank 0 has the first half of the inputs.
        job("dense.0.bin", ("out",), transpose=True, rows=(0, 2), columns=(0, 2)),
    ]
    target = tmp_path / "target"
    target.mkdir()
    with open_checkpoint(folder) as checkpoint:
        convert(checkpoint, jobs, DType.FP32, target, CountingTask())
    expected = {
        "plain.bin": (1, 2, 3, 4, 5, 6, 7, 8),
        "vector.1.bin": (3, 4),
        "qkv.1.bin": (3, 7, 11, 4, 8, 12),
        "dense.0.bin": (1, 5, 2, 6),
    }
    for name, values in expected.items():
        assert (target / name).read_bytes() == struct.pack(f"<{len(values)}f", *values), name


def job(
    target: str,
    sources: tuple[str, ...],
    *,
    rows: tuple[int, int],
    columns: tuple[int, int],
    transpose: bool = False,
) -> TensorJob:
    return TensorJob(
        target=target, sources=sources, transpose=transpose, rows=rows, columns=columns
    )


@pytest.mark.parametrize("value", [70_000.0, -1e38])
def test_a_value_beyond_fp16_is_an_error_that_names_the_tensor(
    tmp_path: Path, value: float
) -> None:
    source = state_dict(random_values())
    source["transformer.h.1.attn.k_proj.weight"][77, 5] = value
    with pytest.raises(WeightsError) as caught:
        convert_model(tmp_path, source, DType.FP16, 2)
    message = str(caught.value)
    assert "transformer.h.1.attn.k_proj.weight" in message
    assert f"{value:g}" in message
    assert "bf16 or fp32" in message


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        (DType.FP32, "lm_head.weight"),
        (DType.FP16, "transformer.h.0.mlp.fc_out.weight"),
        (DType.BF16, "lm_head.weight"),
    ],
)
def test_nan_in_a_checkpoint_is_an_error_in_every_format(
    tmp_path: Path, dtype: DType, name: str
) -> None:
    source = state_dict(random_values())
    source[name][3, 3] = np.nan
    with pytest.raises(WeightsError, match=f"{name} holds infinite values or NaN"):
        convert_model(tmp_path, source, dtype)


def test_a_failure_stops_the_other_files_and_is_the_one_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = state_dict(random_values())
    # Of the largest tensor, which comes first.
    source["transformer.h.0.mlp.fc_in.weight"][0, 0] = np.inf
    monkeypatch.setattr(convert_module, "WORKERS", 1)
    with pytest.raises(WeightsError, match=r"h\.0\.mlp\.fc_in\.weight"):
        convert_model(tmp_path, source)
    (begun,) = (tmp_path / "fp32-1").iterdir()
    assert begun.name.startswith("model.layers.0.mlp.dense_h_to_4h.weight"), (
        "jobs that had not begun must not run after a failure"
    )
