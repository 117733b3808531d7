"""Opens FasterTransformer's weight files for computing on a CPU.

The files are headerless little-endian arrays in row-major order.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import FloatArray, cast
from ft_serving.core.dtypes import DType
from ft_serving.server.engine.config import WeightsConfig
from ft_serving.server.errors import ServerError


class WeightFiles:
    """Opens files as whole fp32 matrices and collects what is wrong with them.

    They are read into memory, the parts of a matrix side by side, and not mapped: what is served
    is what was checked, whatever becomes of the files.

    Args:
        folder: Holds the *.bin files.
        config: What config.ini says of them.
        tensor_parallel: Parts that each split matrix was cut into when it was converted.

    Raises:
        ServerError: `tensor_parallel` does not divide the model.
    """

    def __init__(self, folder: Path, config: WeightsConfig, tensor_parallel: int) -> None:
        for misfit in config.architecture.parallelism_misfits(tensor_parallel):
            raise ServerError(
                f"tensor parallel size: {misfit.rule}; got {misfit.got}; "
                f"give the size that the weights were converted for"
            )
        self._folder = folder
        self._dtype = config.dtype
        self._ranks = tensor_parallel
        self._problems: list[str] = []

    def whole(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return the array of `shape` that one file holds."""
        return self._joined([f"{name}.bin"], shape, axis=0)

    def joined(self, name: str, shape: tuple[int, ...], *, axis: int) -> FloatArray:
        """Return the array of `shape` whose parts along `axis` the ranks' files hold."""
        return self._joined([f"{name}.{rank}.bin" for rank in range(self._ranks)], shape, axis=axis)

    def raise_problems(self) -> None:
        """Raise `ServerError` if files are missing or have another size; all are named."""
        if not self._problems:
            return
        shown = self._problems[:8]
        if len(self._problems) > len(shown):
            shown.append(f"and {len(self._problems) - len(shown)} more files")
        raise ServerError(
            f"{self._folder}: the weight files are not those of config.ini with "
            f"tensor parallel size {self._ranks}: " + "; ".join(shown)
        )

    def _joined(self, names: list[str], shape: tuple[int, ...], *, axis: int) -> FloatArray:
        part = list(shape)
        part[axis] //= len(names)
        fitting = [self._has_size(name, part) for name in names]
        if not all(fitting):
            return np.broadcast_to(np.float32(0), shape)  # takes the place; never returned
        target = np.empty(shape, np.float32)
        if len(names) == 1 and self._dtype is DType.FP32:
            return self._read(names[0], target)
        parts = [self._map(name, part) for name in names]
        for source, place in zip(parts, np.split(target, len(parts), axis=axis), strict=True):
            cast(source, self._dtype, place, DType.FP32)
        target.flags.writeable = False
        return target

    def _read(self, name: str, target: FloatArray) -> FloatArray:
        with (self._folder / name).open("rb", buffering=0) as file:
            left = target.data.cast("B")
            # One call of the system reads 2 GiB at most.
            while count := file.readinto(left):
                left = left[count:]
        target.flags.writeable = False
        return target

    def _has_size(self, name: str, shape: list[int]) -> bool:
        expected = int(np.prod(shape)) * self._dtype.itemsize
        try:
            found = (self._folder / name).stat().st_size
        except OSError as exc:
            self._problems.append(f"{name}: {exc.strerror}")
            return False
        if found != expected:
            self._problems.append(
                f"{name}: must have {expected} bytes "
                f"({'x'.join(map(str, shape))} {self._dtype}); found {found}"
            )
        return found == expected

    def _map(self, name: str, shape: list[int]) -> npt.NDArray[Any]:
        mapped = np.memmap(
            self._folder / name, dtype=self._dtype.numpy, mode="r", shape=tuple(shape)
        )
        # numpy's operators are slower on its subclass memmap than on the array beneath.
        return np.asarray(mapped)
