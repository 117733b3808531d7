"""Opens FasterTransformer's GPT-J weight files for computing on a CPU.

The files are headerless little-endian arrays in row-major order, named and cut by
`src/fastertransformer/models/gptj/GptJWeight.cc` and `GptJDecoderLayerWeight.cc`. All matrices of
a layer are stored [in, out]; the embedding and the output head are [vocabulary, hidden].
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ft_serving.core.dtypes import DType
from ft_serving.core.numpy_dtypes import cast
from ft_serving.server.arrays import FloatArray
from ft_serving.server.engine.config import GptJConfig
from ft_serving.server.engine.errors import ModelFilesError


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerWeights:
    """One layer; H is the hidden size, I the feed-forward width.

    Attributes:
        norm_weight: [H].
        norm_bias: [H].
        qkv: [H, 3H]; columns are q, k, v, each of whole consecutive heads.
        attention_out: [H, H].
        up: [H, I].
        up_bias: [I].
        down: [I, H].
        down_bias: [H].
    """

    norm_weight: FloatArray
    norm_bias: FloatArray
    qkv: FloatArray
    attention_out: FloatArray
    up: FloatArray
    up_bias: FloatArray
    down: FloatArray
    down_bias: FloatArray


@dataclass(frozen=True, kw_only=True, slots=True)
class GptJWeights:
    """A whole model; H is the hidden size, V the vocabulary.

    Attributes:
        embedding: [V, H].
        layers: From the first to the last.
        norm_weight: [H], of the last LayerNorm.
        norm_bias: [H].
        head: [V, H], the output head.
        head_bias: [V].
    """

    embedding: FloatArray
    layers: tuple[LayerWeights, ...]
    norm_weight: FloatArray
    norm_bias: FloatArray
    head: FloatArray
    head_bias: FloatArray

    @property
    def nbytes(self) -> int:
        """The memory that they take."""
        own = (self.embedding, self.norm_weight, self.norm_bias, self.head, self.head_bias)
        layers = (getattr(layer, one.name) for layer in self.layers for one in fields(layer))
        return sum(array.nbytes for array in (*own, *layers))


def open_weights(folder: Path, config: GptJConfig, tensor_parallel: int) -> GptJWeights:
    """Open every weight file of a folder as whole fp32 matrices.

    They are read into memory, the parts of a matrix side by side, and not mapped: what is served
    is what was checked, whatever becomes of the files.

    Args:
        folder: Holds the *.bin files.
        config: The model's numbers.
        tensor_parallel: Parts that each split matrix was cut into when it was converted.

    Raises:
        ModelFilesError: `tensor_parallel` does not divide the model, or files are missing or
            have another size than the model's numbers ask for; all of them are named.
    """
    _check_split(config, tensor_parallel)
    files = _Files(folder, config.weight_data_type, tensor_parallel)
    hidden, inner = config.hidden, config.inter_size
    layers = []
    for index in range(config.num_layer):
        name = f"model.layers.{index}"
        qkv = files.joined(f"{name}.attention.query_key_value.weight", (hidden, 3, hidden), axis=2)
        layers.append(
            LayerWeights(
                norm_weight=files.whole(f"{name}.input_layernorm.weight", (hidden,)),
                norm_bias=files.whole(f"{name}.input_layernorm.bias", (hidden,)),
                qkv=qkv.reshape(hidden, 3 * hidden),
                attention_out=files.joined(
                    f"{name}.attention.dense.weight", (hidden, hidden), axis=0
                ),
                up=files.joined(f"{name}.mlp.dense_h_to_4h.weight", (hidden, inner), axis=1),
                up_bias=files.joined(f"{name}.mlp.dense_h_to_4h.bias", (inner,), axis=0),
                down=files.joined(f"{name}.mlp.dense_4h_to_h.weight", (inner, hidden), axis=0),
                down_bias=files.whole(f"{name}.mlp.dense_4h_to_h.bias", (hidden,)),
            )
        )
    weights = GptJWeights(
        embedding=files.whole("model.wte", (config.vocab_size, hidden)),
        layers=tuple(layers),
        norm_weight=files.whole("model.final_layernorm.weight", (hidden,)),
        norm_bias=files.whole("model.final_layernorm.bias", (hidden,)),
        head=files.whole("model.lm_head.weight", (config.vocab_size, hidden)),
        head_bias=files.whole("model.lm_head.bias", (config.vocab_size,)),
    )
    files.raise_problems()
    return weights


def _check_split(config: GptJConfig, tensor_parallel: int) -> None:
    for name, size in (("head_num", config.head_num), ("inter_size", config.inter_size)):
        if tensor_parallel < 1 or size % tensor_parallel:
            raise ModelFilesError(
                f"tensor parallel size: must divide {name} {size}; got {tensor_parallel}; "
                f"give the size that the weights were converted for"
            )


class _Files:
    """Opens files and collects what is wrong with them."""

    def __init__(self, folder: Path, dtype: DType, ranks: int) -> None:
        self._folder = folder
        self._dtype = dtype
        self._ranks = ranks
        self._problems: list[str] = []

    def whole(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        return self._joined([f"{name}.bin"], shape, axis=0)

    def joined(self, name: str, shape: tuple[int, ...], *, axis: int) -> FloatArray:
        """Return the array of `shape` whose parts along `axis` the ranks' files hold."""
        return self._joined([f"{name}.{rank}.bin" for rank in range(self._ranks)], shape, axis=axis)

    def raise_problems(self) -> None:
        if not self._problems:
            return
        shown = self._problems[:8]
        if len(self._problems) > len(shown):
            shown.append(f"and {len(self._problems) - len(shown)} more files")
        raise ModelFilesError(
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
