"""Plans a conversion: the tensors of a checkpoint that go into each file, and their places there.

Pure: nothing is read or written. The format is FasterTransformer's `<T>-gpu` folder: headerless
little-endian arrays in C order, one file a tensor, and one a rank where tensor parallelism divides
it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ft_serving.core.dtypes import DType
from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import Family, Split, TensorRule
from ft_serving.core.units import any_of
from ft_serving.weights.errors import WeightsError


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorJob:
    """One file to write, or one tensor of a file that holds several.

    out[i, k, j] = part_k[rows[0] + i, columns[0] + j]. A part is a source, taken as a matrix:
    transposed first where `transpose` says so, and a vector as one row. With one part, the file
    has no axis k.

    Attributes:
        target: The file's name, or the tensor's.
        sources: Names of the checkpoint's tensors, in the order of k.
        transpose: Whether a source is [out, in] and the file [in, out].
        rows: First row and the one after the last.
        columns: First column and the one after the last.
        interleaved: Parts in each source, which has `head_size` columns of each by turns.
        head_size: Columns of a part in a row; counts only where several are interleaved.
        add: Whether the file is the sum of the sources.
        divisor: Divides the values.
    """

    target: str
    sources: tuple[str, ...]
    transpose: bool
    rows: tuple[int, int]
    columns: tuple[int, int]
    interleaved: int = 1
    head_size: int = 0
    add: bool = False
    divisor: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """The file's rows, stacked parts, and columns."""
        rows, columns = self.rows, self.columns
        parts = 1 if self.add else len(self.sources) * self.interleaved
        return rows[1] - rows[0], parts, columns[1] - columns[0]

    @property
    def computes(self) -> bool:
        """True if the values are not those of the source."""
        return self.add or self.divisor > 1

    @property
    def elements(self) -> int:
        """The number of values in the file."""
        return math.prod(self.shape)


def file_jobs(
    family: Family, architecture: Architecture, tensor_parallel: int
) -> tuple[TensorJob, ...]:
    """Return a job for every file of weights that a model has.

    Args:
        family: The table of tensors.
        architecture: The model's numbers.
        tensor_parallel: Number of ranks.

    Raises:
        WeightsError: The number of ranks does not divide the model.
    """
    if problems := parallelism_problems(architecture, tensor_parallel):
        raise WeightsError("\n".join(problems))
    return tuple(
        job
        for rule, layer in _expand(family, architecture)
        for job in _rank_jobs(rule, layer, architecture, tensor_parallel)
    )


def parallelism_problems(
    architecture: Architecture, tensor_parallel: int, pipeline_parallel: int = 1
) -> list[str]:
    """Return a line for each of the two sizes that does not divide a model, with those that do."""
    return [
        f"{misfit.number.replace('_', ' ')} size {misfit.rule}; got {misfit.got}; "
        f"use {any_of(misfit.valid)}"
        for misfit in architecture.parallelism_misfits(tensor_parallel, pipeline_parallel)
    ]


def total_bytes(jobs: tuple[TensorJob, ...], dtype: DType) -> int:
    """Return the bytes of all files together."""
    return sum(job.elements for job in jobs) * dtype.itemsize


def source_rules(family: Family, architecture: Architecture) -> dict[str, TensorRule]:
    """Return the rule of every tensor of a model's checkpoint, by its name, layer by layer."""
    return {
        layer_name(source, layer): rule
        for rule, layer in sorted(_expand(family, architecture), key=lambda it: it[1])
        for source in rule.sources
    }


def layer_name(pattern: str, layer: int) -> str:
    """Return a name in which `{layer}` stands for a layer's number."""
    return pattern.replace("{layer}", str(layer))


def _expand(family: Family, architecture: Architecture) -> Iterator[tuple[TensorRule, int]]:
    for rule in family.rules_of(architecture):
        for layer in range(architecture.layers if rule.per_layer else 1):
            yield rule, layer


def _rank_jobs(
    rule: TensorRule, layer: int, architecture: Architecture, ranks: int
) -> Iterator[TensorJob]:
    shape = rule.target_shape(architecture)
    rows, columns = shape[0] if len(rule.shape) > 1 else 1, shape[-1]
    target = layer_name(rule.target, layer)
    # A tensor that ranks divide has the suffix with a single rank, too.
    names = [f"{target}.bin"]
    if rule.split is not Split.NONE:
        names = [f"{target}.{rank}.bin" for rank in range(ranks)]
    for rank, name in enumerate(names):
        yield TensorJob(
            target=name,
            sources=tuple(layer_name(source, layer) for source in rule.sources),
            transpose=rule.transpose,
            rows=_part(rows, rank, ranks if rule.split is Split.ROWS else 1),
            columns=_part(columns, rank, ranks if rule.split is Split.COLUMNS else 1),
            interleaved=rule.interleaved,
            head_size=architecture.head_size,
            add=rule.add,
            divisor=ranks if rule.divide else 1,
        )


def _part(length: int, rank: int, parts: int) -> tuple[int, int]:
    """Return a rank's share of a length, which is all of it where it is not divided."""
    size = length // parts
    return (rank * size, (rank + 1) * size) if parts > 1 else (0, length)
