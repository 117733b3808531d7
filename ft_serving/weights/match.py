"""Finds a model's tensors in a checkpoint, or says why they are not there."""

from collections.abc import Set
from dataclasses import dataclass, replace

from ft_serving.core.families.architecture import Architecture
from ft_serving.core.families.base import Family
from ft_serving.core.kinds import kind_of_tensors
from ft_serving.core.units import cut
from ft_serving.weights.checkpoint import Checkpoint
from ft_serving.weights.errors import WeightsError
from ft_serving.weights.plan import TensorJob, layer_name, source_rules


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """The names of a model's tensors in a checkpoint.

    Attributes:
        prefix: Stands before each name of the model; empty as a rule.
        value_head: The checkpoint's names of the tensors of a value head, sorted.
    """

    prefix: str
    value_head: tuple[str, ...]

    def jobs(self, jobs: tuple[TensorJob, ...]) -> tuple[TensorJob, ...]:
        """Return a plan's jobs with the sources' names in the checkpoint."""
        return tuple(
            replace(job, sources=tuple(self.prefix + name for name in job.sources)) for job in jobs
        )

    def ignored(self) -> list[str]:
        """Return a line for everything in the checkpoint that the release leaves out."""
        lines = []
        if self.prefix:
            lines.append(f"Ignored: the prefix {self.prefix!r}, which all tensors' names have.")
        if self.value_head:
            names = ", ".join(cut(self.value_head))
            lines.append(f"Ignored: a value head, which generates no text ({names}).")
        return lines


def match_tensors(family: Family, architecture: Architecture, checkpoint: Checkpoint) -> Match:
    """Find the tensors of a model in a checkpoint, which must hold no others.

    The names may have one prefix, as of a module that wrapped the model in training; and a value
    head is allowed, as reinforcement learning adds it.

    Raises:
        WeightsError: Tensors are missing, unknown, of another shape, or not floating-point; all
            at once, by name, with the kind of checkpoint that this is and what to do.
    """
    rules = source_rules(family, architecture)
    shapes = {name: tensor.shape for name, tensor in checkpoint.items()}
    others = checkpoint.others
    found = shapes.keys() | others.keys()
    prefixes = _prefixes(rules.keys(), found)
    prefix = prefixes[0] if len(prefixes) == 1 else ""
    expected = {prefix + name: rule.source_shape(architecture) for name, rule in rules.items()}
    buffers = {
        prefix + layer_name(buffer, layer)
        for buffer in family.ignored
        for layer in range(architecture.layers)
    }
    value_heads = (*family.value_heads, *(prefix + head for head in family.value_heads))
    value_head = {name for name in found if name.startswith(value_heads)}
    problems = {
        "missing from the checkpoint": sorted(expected.keys() - found),
        "unknown in the checkpoint": sorted(found - expected.keys() - buffers - value_head),
        "of another shape than config.json says": [
            f"{name} is {list(shapes[name])}, must be {list(shape)}"
            for name, shape in expected.items()
            if name in shapes and shapes[name] != shape
        ],
        "not in fp32, fp16 or bf16": [
            f"{name} is {others[name]}" for name in expected if name in others
        ],
    }
    if any(problems.values()):
        kind = kind_of_tensors(
            expected=expected,
            vocabulary={prefix + n for n, rule in rules.items() if "vocabulary" in rule.shape},
            head={prefix + name for name in rules if name.startswith(family.head)},
            prefixes=prefixes,
            shapes=shapes,
            others=others,
        )
        listed = (
            "\n    ".join([f"  {problem} ({len(names)}):", *cut(names)])
            for problem, names in problems.items()
            if names
        )
        raise WeightsError(
            f"The checkpoint does not match config.json (model_type {family.model_type}). {kind}\n"
            + "\n".join(listed)
        )
    return Match(prefix=prefix, value_head=tuple(sorted(value_head)))


def _prefixes(expected: Set[str], found: Set[str]) -> list[str]:
    """Return the prefixes that turn a name of the model into a name of the checkpoint."""
    most_parts = 1 + max(name.count(".") for name in expected)
    prefixes = set()
    for name in found:
        parts = name.split(".")
        for place in range(max(0, len(parts) - most_parts), len(parts)):
            if ".".join(parts[place:]) in expected:
                prefixes.add("".join(f"{part}." for part in parts[:place]))
    return sorted(prefixes)
