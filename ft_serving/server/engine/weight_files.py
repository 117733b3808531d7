"""Reads FasterTransformer's weight files into memory, by the table of their family.

The files are headerless little-endian arrays in row-major order.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import FloatArray, cast
from ft_serving.core.dtypes import DType
from ft_serving.core.families.base import Split
from ft_serving.core.units import cut
from ft_serving.server.engine.config import WeightsConfig
from ft_serving.server.errors import ServerError


def read_weights(
    folder: Path, config: WeightsConfig, tensor_parallel: int
) -> dict[str, FloatArray]:
    """Return whole fp32 arrays by the names of their files, without rank and suffix.

    They are read, the parts of a matrix side by side, and not mapped: what is served is what was
    checked, whatever becomes of the files.

    Args:
        folder: Holds the *.bin files.
        config: Read from config.ini.
        tensor_parallel: Parts that each split matrix was cut into when it was converted.

    Raises:
        ServerError: `tensor_parallel` does not divide the model, or files are missing or have
            another size than the model's numbers ask for; all of them are named.
    """
    for misfit in config.architecture.parallelism_misfits(tensor_parallel):
        raise ServerError(
            f"tensor parallel size: {misfit.rule}; got {misfit.got}; "
            f"give the size that the weights were converted for"
        )
    stored = list(_stored_arrays(folder, config, tensor_parallel))
    problems = [
        problem
        for array in stored
        for path in array.paths
        if (problem := _problem(path, array.part, config.dtype))
    ]
    if problems:
        raise ServerError(
            f"{folder}: the weight files are not those of config.ini with "
            f"tensor parallel size {tensor_parallel}: " + "; ".join(cut(problems))
        )
    return {array.target: _read(array, config.dtype) for array in stored}


@dataclass(frozen=True, kw_only=True, slots=True)
class _StoredArray:
    """An array's files.

    Attributes:
        target: Its name.
        paths: Of the parts, in their order.
        part: The shape of each.
        axis: To join them along.
        divisor: What its values are divided by.
    """

    target: str
    paths: list[Path]
    part: tuple[int, ...]
    axis: int
    divisor: int


def _stored_arrays(folder: Path, config: WeightsConfig, ranks: int) -> Iterator[_StoredArray]:
    for rule in config.family.rules_of(config.architecture):
        shape = rule.target_shape(config.architecture)
        files = ranks if rule.split is not Split.NONE else 1
        axis = 0 if rule.split is Split.ROWS else len(shape) - 1
        part = (*shape[:axis], shape[axis] // files, *shape[axis + 1 :])
        for layer in range(config.architecture.layers if rule.per_layer else 1):
            target = rule.target.replace("{layer}", str(layer))
            ends = [""] if rule.split is Split.NONE else [f".{rank}" for rank in range(ranks)]
            yield _StoredArray(
                target=target,
                paths=[folder / f"{target}{end}.bin" for end in ends],
                part=part,
                axis=axis,
                divisor=ranks if rule.divide else 1,
            )


def _problem(path: Path, shape: tuple[int, ...], dtype: DType) -> str | None:
    expected = math.prod(shape) * dtype.itemsize
    try:
        found = path.stat().st_size
    except OSError as exc:
        return f"{path.name}: {exc.strerror}"
    if found == expected:
        return None
    described = "x".join(map(str, shape))
    return f"{path.name}: must have {expected} bytes ({described} {dtype}); found {found}"


def _read(array: _StoredArray, dtype: DType) -> FloatArray:
    paths, part, axis = array.paths, array.part, array.axis
    target = np.empty((*part[:axis], part[axis] * len(paths), *part[axis + 1 :]), np.float32)
    if len(paths) == 1 and dtype is DType.FP32:
        with paths[0].open("rb", buffering=0) as file:
            left = target.data.cast("B")
            # One call of the system reads 2 GiB at most.
            while count := file.readinto(left):
                left = left[count:]
    else:
        for path, place in zip(paths, np.split(target, len(paths), axis=axis), strict=True):
            mapped: npt.NDArray[Any] = np.memmap(path, dtype=dtype.numpy, mode="r", shape=part)
            # numpy's operators are slower on its subclass memmap than on the array beneath.
            cast(np.asarray(mapped), dtype, place, DType.FP32)
    if array.divisor > 1:
        np.multiply(target, np.float32(array.divisor), out=target)
    target.flags.writeable = False
    return target
