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
from typing import NoReturn

import numpy as np

from ft_serving.core.arrays import AnyArray, cast, is_finite
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


def _blocks(checkpoint: Checkpoint, job: TensorJob, dtype: DType) -> Iterator[AnyArray]:
    """Yield the target's consecutive pieces, each of whole rows, in one buffer."""
    rows, stacked, columns = job.shape
    views = [_view(checkpoint, job, name) for name in job.sources]
    dtypes = [checkpoint[name].dtype for name in job.sources]
    step = min(rows, max(1, BLOCK_BYTES // (stacked * columns * dtype.itemsize)))
    in_place = stacked == 1 and dtypes[0] is dtype and views[0].flags.c_contiguous
    buffer = np.empty((step, stacked, columns), dtype.numpy) if not in_place else None
    tile = _TRANSPOSED_TILE if job.transpose else _STRAIGHT_TILE
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        if buffer is None:
            block = views[0][start:stop]
        else:
            block = buffer[: stop - start]
            for k, view in enumerate(views):
                _copy(view[start:stop], dtypes[k], block[:, k], dtype, tile)
        if not is_finite(block, dtype):
            _explain(job, [view[start:stop] for view in views], dtypes, dtype)
        yield block


def _view(checkpoint: Checkpoint, job: TensorJob, name: str) -> AnyArray:
    """Return the part of a source that the target holds, in place: [rows, columns]."""
    array = np.atleast_2d(checkpoint.array(name))
    matrix = array.T if job.transpose else array
    return matrix[slice(*job.rows), slice(*job.columns)]


def _copy(
    source: AnyArray,
    source_dtype: DType,
    target: AnyArray,
    target_dtype: DType,
    tile_size: tuple[int, int],
) -> None:
    height, width = tile_size
    rows, columns = source.shape
    for column in range(0, columns, width):
        for row in range(0, rows, height):
            tile = np.s_[row : row + height, column : column + width]
            cast(source[tile], source_dtype, target[tile], target_dtype)


def _explain(job: TensorJob, views: list[AnyArray], dtypes: list[DType], dtype: DType) -> NoReturn:
    """Raise for a block that holds a value which is not finite: the source's, or the cast's."""
    for name, view, source_dtype in zip(job.sources, views, dtypes, strict=True):
        source = np.ascontiguousarray(view)
        if not is_finite(source, source_dtype):
            raise WeightsError(
                f"Tensor {name} holds infinite values or NaN: the checkpoint is damaged. "
                "Compare it with the publisher's file, or choose another revision."
            )
        wide = np.empty(source.shape, np.float32)
        cast(source, source_dtype, wide, DType.FP32)
        narrow = np.empty(source.shape, dtype.numpy)
        cast(wide, DType.FP32, narrow, dtype)
        if not is_finite(narrow, dtype):
            largest = wide.flat[int(np.abs(wide).argmax())]
            raise WeightsError(
                f"Tensor {name} holds {largest:g}, which does not fit {dtype}. "
                f"Store the weights as {_WIDER[dtype]}."
            )
    raise AssertionError(f"{job.target}: a finite block was reported as not finite")
