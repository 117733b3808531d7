"""A checkpoint's tensors, by name, as views into memory maps of its files."""

import math
import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

import numpy as np

from ft_serving.core.arrays import AnyArray
from ft_serving.core.files import LFS_POINTER
from ft_serving.weights.checkpoint.safetensors_file import read_safetensors
from ft_serving.weights.checkpoint.selection import check_index, select
from ft_serving.weights.checkpoint.tensor import MAX_JSON_BYTES, FileContents, Tensor
from ft_serving.weights.checkpoint.torch_zip import read_torch_zip
from ft_serving.weights.errors import CheckpointError, refusal


class Checkpoint(Mapping[str, Tensor]):
    """The tensors of an open checkpoint: their places, and their values.

    Its files must not change while it is open: a mapped file that shrinks ends the process with
    SIGBUS. Methods may be called from several threads.

    Attributes:
        others: The tensors that are no weights, because not in FP32, FP16 or BF16: name and
            safetensors' word for the dtype, such as BOOL, U8 or F64.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        others: Mapping[str, str],
        maps: Mapping[Path, mmap.mmap],
    ) -> None:
        self._tensors = tensors
        self.others = others
        self._maps = dict(maps)

    def __getitem__(self, name: str) -> Tensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def array(self, name: str) -> AnyArray:
        """Return a tensor's values as a read-only view into the mapped file, of the tensor's shape.

        Nothing is copied; bf16 values come as uint16. The view may be unaligned, and stays valid
        after `close`.

        Raises:
            KeyError: There is no such tensor, or the checkpoint is closed.
        """
        tensor = self._tensors[name]
        values = np.frombuffer(
            self._maps[tensor.path],
            dtype=tensor.dtype.numpy,
            count=math.prod(tensor.shape),
            offset=tensor.offset,
        )
        return values.reshape(tensor.shape)

    def will_need(self, name: str) -> None:
        """Ask the kernel to read a tensor ahead, sequentially; raise as `array` does."""
        self._advise(name, mmap.MADV_WILLNEED)

    def done_with(self, name: str) -> None:
        """Take a tensor's pages out of resident memory; using it again reads them."""
        self._advise(name, mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Unmap the files; those with views in use follow when the last view is gone."""
        # A map cannot be closed while views use it; forgotten, it goes with the last of them.
        self._maps.clear()

    def _advise(self, name: str, advice: int) -> None:
        tensor = self._tensors[name]
        mapped = self._maps[tensor.path]
        # Pages at the ends are shared with neighbours; to drop those costs a page fault at most.
        start = tensor.offset - tensor.offset % mmap.PAGESIZE
        if tensor.nbytes:
            mapped.madvise(advice, start, tensor.offset + tensor.nbytes - start)


def open_checkpoint(folder: Path) -> Checkpoint:
    """Open the checkpoint in a folder, chosen by the rule of `select`.

    Everything but the values is checked: formats, sizes, bounds and the index. The values are not
    read, so a flipped bit in them goes unseen here.

    Raises:
        CheckpointError: There is no checkpoint, or a file of it is truncated, broken, hostile or
            in a format that is not read; the message names the file and the tensor.
    """
    try:
        names = [path.name for path in folder.iterdir() if path.is_file()]
        selection = select(names, lambda name: _read_index(folder / name))
        opened = {name: _open(folder / name) for name in selection.data}
    except OSError as exc:
        raise CheckpointError(f"The checkpoint in {folder} cannot be read: {exc}") from exc
    contents = {name: found for name, (found, _) in opened.items()}
    if selection.index is not None:
        check_index(selection.index, selection.weight_map, contents)
    return Checkpoint(
        tensors={name: t for found in contents.values() for name, t in found.tensors.items()},
        others={name: d for found in contents.values() for name, d in found.others.items()},
        maps={folder / name: mapped for name, (_, mapped) in opened.items()},
    )


def _read_index(path: Path) -> bytes:
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise refusal(path, [f"it has {size} bytes"], f"An index has at most {MAX_JSON_BYTES}.")
    return path.read_bytes()


def _open(path: Path) -> tuple[FileContents, mmap.mmap]:
    with path.open("rb") as file:
        if file.read(len(LFS_POINTER)) == LFS_POINTER:
            raise refusal(path, ["it is a Git LFS pointer to the file"], "Run `git lfs pull`.")
        read = read_safetensors if path.suffix == ".safetensors" else read_torch_zip
        return read(file, path), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
