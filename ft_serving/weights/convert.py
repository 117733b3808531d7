"""Executes a plan: streams a checkpoint's tensors into FasterTransformer's files.

A source is read in place through the page cache, and a worker builds one block of its target at a
time, so that anonymous memory is bounded whatever the model's size.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from threading import Event
from typing import NamedTuple, NoReturn

import numpy as np

from ft_serving.core.arrays import AnyArray, FloatArray, cast, is_finite
from ft_serving.core.dtypes import DType
from ft_serving.core.files import flush
from ft_serving.core.manifest import ReleaseFile
from ft_serving.core.progress import Task
from ft_serving.weights.checkpoint import Checkpoint
from ft_serving.weights.errors import WeightsError
from ft_serving.weights.plan import TensorJob

WORKERS = 3
"""Files written at a time: two keep two cores busy while a third waits for the disk."""

BLOCK_BYTES = 1 << 20
"""Size of the piece of a target that a worker builds in memory."""

# Rows and columns copied at once: a transposed copy is fast while its source and its target stay in
# the cache, and a cast's temporaries are of a tile's size.
_LINE_BYTES = 64
_Tile = tuple[int, int]
_TRANSPOSED_TILE = (128, 128)
_STRAIGHT_TILE = (1, 1 << 16)

_WIDER = {DType.FP16: "bf16 or fp32", DType.BF16: "fp32"}


def convert(
    checkpoint: Checkpoint, jobs: Sequence[TensorJob], dtype: DType, folder: Path, task: Task
) -> list[ReleaseFile]:
    """Write every job's file and flush it to disk.

    Args:
        checkpoint: The source; its tensors must have been checked against the family's table.
        jobs: The plan.
        dtype: Format of every file.
        folder: The folder to write into; must exist. Files of those names are replaced.
        task: Is advanced by the bytes written.

    Returns:
        The files, by their paths in the folder.

    Raises:
        WeightsError: A value does not fit `dtype`, or is none; names the tensor.
        OSError: Writing failed, as when the disk is full.
    """

    def order(job: TensorJob) -> tuple[int, Path, int]:
        # The largest first, so that no worker is left with one at the end while the others are
        # idle; files of one size in the order in which their sources lie on disk.
        source = checkpoint[job.sources[0]]
        return -job.elements, source.path, source.offset

    def write(job: TensorJob, stop: Event) -> ReleaseFile:
        pieces = tensor_pieces(checkpoint, job, dtype)
        return write_file(folder / job.target, pieces, task, stop)

    written = in_parallel([partial(write, job) for job in sorted(jobs, key=order)])
    # At the end, because each flush makes a journalling file system stop every other writer.
    for job in jobs:
        flush(folder / job.target)
    return written


def in_parallel(writers: Sequence[Callable[[Event], ReleaseFile]]) -> list[ReleaseFile]:
    """Write files, WORKERS at a time, and return them in the same order.

    Args:
        writers: Each writes a file, or raises CancelledError when the event tells it to stop: the
            first failure stops all, and is the one that is raised.
    """
    stop = Event()

    def write(writer: Callable[[Event], ReleaseFile]) -> ReleaseFile:
        if stop.is_set():
            raise CancelledError
        try:
            return writer(stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(WORKERS, thread_name_prefix="convert") as pool:
        futures = [pool.submit(write, writer) for writer in writers]
        try:
            for future in as_completed(futures):
                # A cancelled file has not failed: another's failure stopped it.
                if not isinstance(future.exception(), CancelledError):
                    future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def write_file(path: Path, pieces: Iterable[memoryview], task: Task, stop: Event) -> ReleaseFile:
    """Write a file of consecutive pieces of bytes, and replace one of its name.

    Raises:
        CancelledError: `stop` was set.
        OSError: Writing failed.
    """
    digest = hashlib.sha256()
    size = 0
    with path.open("wb", buffering=0) as file:
        for piece in pieces:
            if stop.is_set():
                raise CancelledError
            digest.update(piece)
            size += len(piece)
            while piece:
                written = file.write(piece)
                task.advance(written)
                piece = piece[written:]
        # Makes the kernel begin to write the pages out, so that the flush at the end is short.
        os.posix_fadvise(file.fileno(), 0, size, os.POSIX_FADV_DONTNEED)
    return ReleaseFile(path=path.name, size=size, sha256=digest.hexdigest())


def tensor_pieces(checkpoint: Checkpoint, job: TensorJob, dtype: DType) -> Iterator[memoryview]:
    """Yield a target's consecutive bytes; a piece is overwritten when the next one is asked for.

    Raises:
        WeightsError: A value does not fit `dtype`, or is none; names the tensor.
    """
    for name in job.sources:
        checkpoint.will_need(name)
    for block in _blocks(checkpoint, job, dtype):
        yield block.reshape(-1).view(np.uint8).data
    for name in job.sources:
        checkpoint.done_with(name)


class _Part(NamedTuple):
    """The part of a source that a target takes, in place.

    Attributes:
        name: The source's.
        dtype: Its format.
        columns: Matrices of the target's rows, which stand side by side.
    """

    name: str
    dtype: DType
    columns: tuple[AnyArray, ...]

    def copy(self, start: int, stop: int, target: AnyArray, dtype: DType, tile: _Tile) -> None:
        """Write rows into `target`, in another format."""
        begin = 0
        for column in self.columns:
            end = begin + column.shape[1]
            _copy(column[start:stop], self.dtype, target[:, begin:end], dtype, tile)
            begin = end


def _blocks(checkpoint: Checkpoint, job: TensorJob, dtype: DType) -> Iterator[AnyArray]:
    """Yield the target's consecutive pieces, each of whole rows, in one buffer."""
    rows, stacked, columns = job.shape
    parts = list(_parts(checkpoint, job))
    step = BLOCK_BYTES // (stacked * columns * dtype.itemsize)
    if job.transpose:
        # Whole cache lines of the source, of which the next block would read the rest again.
        line = _LINE_BYTES // parts[0].dtype.itemsize
        step = max(step // line, 1) * line
    step = min(rows, max(step, 1))
    first, *others = parts[0].columns
    in_place = (
        stacked == 1
        and parts[0].dtype is dtype
        and not others
        and first.flags.c_contiguous
        and not job.computes
    )
    buffer = np.empty((step, stacked, columns), dtype.numpy) if not in_place else None
    tile = _TRANSPOSED_TILE if job.transpose else _STRAIGHT_TILE
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        if buffer is None:
            block = first[start:stop]
        else:
            block = buffer[: stop - start]
            if job.computes:
                cast(_computed(job, parts, start, stop), DType.FP32, block[:, 0], dtype)
            else:
                for k, part in enumerate(parts):
                    part.copy(start, stop, block[:, k], dtype, tile)
        if not is_finite(block, dtype):
            _explain(job, parts, start, stop, dtype)
        yield block


def _parts(checkpoint: Checkpoint, job: TensorJob) -> Iterator[_Part]:
    for name in job.sources:
        array = np.atleast_2d(checkpoint.array(name))
        matrix = array.T if job.transpose else array
        for part in range(job.interleaved):
            columns = tuple(
                matrix[slice(*job.rows), start:stop] for start, stop in _columns(job, part)
            )
            yield _Part(name, checkpoint[name].dtype, columns)


def _columns(job: TensorJob, part: int) -> Iterator[tuple[int, int]]:
    """Yield the first of consecutive columns of a source, and the one after the last."""
    if job.interleaved == 1:
        yield job.columns
        return
    size = job.head_size
    for head in range(job.columns[0] // size, job.columns[1] // size):
        start = (head * job.interleaved + part) * size
        yield start, start + size


def _computed(job: TensorJob, parts: Sequence[_Part], start: int, stop: int) -> FloatArray:
    """Return rows of the sum of the parts, each divided first, in fp32."""
    first, *others = (_widened(part, start, stop) / np.float32(job.divisor) for part in parts)
    with np.errstate(over="ignore"):
        for term in others:
            first += term
    return first


def _widened(part: _Part, start: int, stop: int) -> FloatArray:
    columns = sum(column.shape[1] for column in part.columns)
    wide = np.empty((stop - start, columns), np.float32)
    part.copy(start, stop, wide, DType.FP32, _STRAIGHT_TILE)
    return wide


def _copy(
    source: AnyArray,
    source_dtype: DType,
    target: AnyArray,
    target_dtype: DType,
    tile_size: _Tile,
) -> None:
    height, width = tile_size
    rows, columns = source.shape
    for column in range(0, columns, width):
        for row in range(0, rows, height):
            tile = np.s_[row : row + height, column : column + width]
            cast(source[tile], source_dtype, target[tile], target_dtype)


def _explain(
    job: TensorJob, parts: Sequence[_Part], start: int, stop: int, dtype: DType
) -> NoReturn:
    """Raise for a block that holds a value which is not finite: a source's, or the cast's."""
    wide = {f"Tensor {part.name}": _widened(part, start, stop) for part in parts}
    if job.add:
        wide[f"The sum of tensors {' and '.join(job.sources)}"] = _computed(job, parts, start, stop)
    for what, values in wide.items():
        if not is_finite(values, DType.FP32):
            raise WeightsError(
                f"{what} holds infinite values or NaN: the checkpoint is damaged. "
                "Compare it with the publisher's file, or choose another revision."
            )
        narrow = np.empty(values.shape, dtype.numpy)
        cast(values, DType.FP32, narrow, dtype)
        if not is_finite(narrow, dtype):
            largest = values.flat[int(np.abs(values).argmax())]
            raise WeightsError(
                f"{what} holds {largest:g}, which does not fit {dtype}. "
                f"Store the weights as {_WIDER[dtype]}."
            )
    raise AssertionError(f"{job.target}: a finite block was reported as not finite")
