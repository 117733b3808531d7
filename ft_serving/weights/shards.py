"""Writes a model's tensors as Hugging Face names them, in safetensors files of bounded size.

A shard gets its name when all of it is on the disk, so that one with its name is whole: the run
after one that was killed writes only the others.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event

from ft_serving.core.dtypes import DType
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import Family
from ft_serving.core.files import flush
from ft_serving.core.manifest import ReleaseFile
from ft_serving.core.progress import Task
from ft_serving.core.verify import file_sha256
from ft_serving.weights.checkpoint import Checkpoint
from ft_serving.weights.checkpoint.tensor import FLOATS
from ft_serving.weights.convert import in_parallel, tensor_pieces, write_file
from ft_serving.weights.plan import TensorJob, source_rules, total_bytes

SHARD_BYTES = 1 << 30
"""Most bytes of tensors in a shard that holds more than one. A kill loses a shard a worker."""

INDEX_NAME = "model.safetensors.index.json"

_WORDS = {dtype: word for word, dtype in FLOATS.items()}

# The safetensors library pads headers, so that tensors begin at a multiple of their values' size.
_ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One safetensors file to write.

    Attributes:
        name: File name.
        header: Its first bytes: the header's length and the header.
        jobs: Its tensors, in the order of their bytes; each target is a tensor's name.
        size: Bytes of the whole file.
    """

    name: str
    header: bytes
    jobs: tuple[TensorJob, ...]
    size: int


def plan_shards(family: Family, architecture: Architecture, dtype: DType) -> tuple[Shard, ...]:
    """Return the files that hold a model: model.safetensors, or several with numbers."""
    shapes = {
        name: rule.source_shape(architecture)
        for name, rule in source_rules(family, architecture).items()
    }
    groups: list[tuple[TensorJob, ...]] = [()]
    for name, shape in shapes.items():
        # A job that takes the tensor as it is.
        rows, columns = shape if len(shape) > 1 else (1, *shape)
        job = TensorJob(
            target=name, sources=(name,), transpose=False, rows=(0, rows), columns=(0, columns)
        )
        if groups[-1] and total_bytes((*groups[-1], job), dtype) > SHARD_BYTES:
            groups.append(())
        groups[-1] += (job,)
    names = ["model.safetensors"]
    if len(groups) > 1:
        numbers = range(1, len(groups) + 1)
        names = [f"model-{number:05}-of-{len(groups):05}.safetensors" for number in numbers]
    return tuple(
        _shard(name, jobs, shapes, dtype) for name, jobs in zip(names, groups, strict=True)
    )


def render_index(shards: Sequence[Shard], dtype: DType) -> str:
    """Return the text of the file that says of every tensor the shard that holds it."""
    size = sum(total_bytes(shard.jobs, dtype) for shard in shards)
    weight_map = {job.target: shard.name for shard in shards for job in shard.jobs}
    return json.dumps({"metadata": {"total_size": size}, "weight_map": weight_map}, indent=2) + "\n"


def is_finished(shard: Shard, path: Path) -> bool:
    """Return whether a file is a shard that was written to its end."""
    try:
        with path.open("rb") as file:
            return (
                path.stat().st_size == shard.size and file.read(len(shard.header)) == shard.header
            )
    except FileNotFoundError:
        return False


def write_shards(
    checkpoint: Checkpoint,
    shards: Sequence[Shard],
    dtype: DType,
    folder: Path,
    task: Task,
    check_source: Callable[[], object],
) -> list[ReleaseFile]:
    """Write every shard that is not finished, and keep it on the disk.

    Args:
        checkpoint: The source; its tensors must have been checked against the family's table.
        shards: The plan, with the sources' names in the checkpoint.
        dtype: Format of every tensor; must be the one that they were planned for.
        folder: The folder to write into; must exist.
        task: Is advanced by the bytes written.
        check_source: Raises if the source is not what it was when it was opened; called before a
            shard counts as finished.

    Raises:
        WeightsError: A value does not fit `dtype`, or is none; names the tensor.
        OSError: Writing failed, as when the disk is full.
    """

    def write(shard: Shard, stop: Event) -> ReleaseFile:
        path = folder / shard.name
        if is_finished(shard, path):
            return ReleaseFile(path=shard.name, size=shard.size, sha256=file_sha256(path))
        part = path.with_name(f"{shard.name}.part")
        tensors = (tensor_pieces(checkpoint, job, dtype) for job in shard.jobs)
        pieces = chain([memoryview(shard.header)], chain.from_iterable(tensors))
        written = write_file(part, pieces, task, stop)
        flush(part)
        check_source()
        part.rename(path)
        return replace(written, path=shard.name)

    return in_parallel([partial(write, shard) for shard in shards])


def _shard(
    name: str, jobs: tuple[TensorJob, ...], shapes: dict[str, tuple[int, ...]], dtype: DType
) -> Shard:
    # "pt" tells transformers that the values lie as torch holds them.
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for job in jobs:
        begin, end = end, end + total_bytes((job,), dtype)
        header[job.target] = {
            "dtype": _WORDS[dtype],
            "shape": shapes[job.target],
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    start = len(text).to_bytes(8, "little") + text
    return Shard(name=name, header=start, jobs=jobs, size=len(start) + end)
