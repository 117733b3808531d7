"""Chooses the files of one checkpoint, and checks a sharded one against its index.

The order of preference, the names and the index are those of Hugging Face's `from_pretrained`.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from ft_serving.core.kinds import kind_of_files
from ft_serving.weights.checkpoint.tensor import FileContents, load_object
from ft_serving.weights.errors import DOWNLOAD_AGAIN, CheckpointError, refusal

_INDEX_SUFFIX = ".index.json"
_CHOICES = (
    "model.safetensors",
    "model.safetensors" + _INDEX_SUFFIX,
    "pytorch_model.bin",
    "pytorch_model.bin" + _INDEX_SUFFIX,
)

# No separator, no leading dot: such a name cannot leave the folder it is joined to.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The files of one checkpoint.

    Attributes:
        index: The file that says which tensor is in which shard, or None for a single file.
        weight_map: The index's content: a tensor's shard.
        data: The files that hold tensors, sorted.
    """

    index: str | None
    weight_map: Mapping[str, str]
    data: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All files: plain names, safe to join to a folder."""
        return (*([self.index] if self.index else []), *self.data)


def select(names: Collection[str], read: Callable[[str], bytes]) -> Selection:
    """Choose the files of one checkpoint from a repository's file names.

    `model.safetensors`, or else `model.safetensors.index.json` with its shards, or else
    `pytorch_model.bin`, or else `pytorch_model.bin.index.json` with its shards.

    Args:
        names: All files of the repository; only those at its top are chosen.
        read: Returns a file's content; called for an index, and for an adapter's settings.

    Raises:
        CheckpointError: There is no checkpoint, the index is broken, or it names a file that is
            missing or would lie elsewhere.
    """
    chosen = next((name for name in _CHOICES if name in names), None)
    if chosen is None:
        found = ", ".join(sorted(names)[:8]) or "no files"
        remedy = kind_of_files(names, read) or (
            "If one of the files holds the state dict, give it one of these names."
        )
        raise CheckpointError(
            f"There is no checkpoint to read: found {found}; needed is one of "
            f"{', '.join(_CHOICES)}. {remedy}"
        )
    if not chosen.endswith(_INDEX_SUFFIX):
        return Selection(index=None, weight_map={}, data=(chosen,))
    weight_map = _weight_map(chosen, read(chosen))
    shards = tuple(sorted(set(weight_map.values())))
    suffix = ".safetensors" if chosen.startswith("model.") else ".bin"
    unsafe = [s for s in shards if not (_PLAIN_NAME.fullmatch(s) and s.endswith(suffix))]
    if unsafe:
        raise refusal(
            chosen,
            [f"it names the file {shard!r}" for shard in unsafe],
            f"A shard must be a file *{suffix} beside the index; do not use this repository.",
        )
    if missing := [shard for shard in shards if shard not in names]:
        raise refusal(
            chosen,
            [f"the shard {shard} is missing" for shard in missing],
            "Download it, or choose a revision that has all of them.",
        )
    return Selection(index=chosen, weight_map=weight_map, data=shards)


def check_index(
    index: str, weight_map: Mapping[str, str], contents: Mapping[str, FileContents]
) -> None:
    """Check that an index says of every tensor the shard that holds it.

    Args:
        index: Its name.
        weight_map: Its content: a tensor's shard.
        contents: The tensors of each shard.

    Raises:
        CheckpointError: A tensor is missing, in another shard, in two, or not in the index.
    """
    shards_of: dict[str, list[str]] = {}
    for shard, held in contents.items():
        for name in (*held.tensors, *held.others):
            shards_of.setdefault(name, []).append(shard)
    problems = []
    for name in sorted(weight_map.keys() | shards_of.keys()):
        stated, found = weight_map.get(name), shards_of.get(name, [])
        if len(found) > 1:
            problems.append(f"{name!r} is in {' and in '.join(found)}")
        elif not found:
            problems.append(f"{name!r} is not in {stated}, nor in another shard")
        elif stated is None:
            problems.append(f"{name!r} of {found[0]} is not listed")
        elif stated != found[0]:
            problems.append(f"{name!r} is in {found[0]}, not in {stated}")
    if problems:
        raise refusal(index, problems, "Download the index and all of its shards again.")


def _weight_map(index: str, content: bytes) -> dict[str, str]:
    try:
        weight_map = load_object(content).get("weight_map")
    except ValueError as exc:
        raise refusal(index, [f"it is broken: {exc}"], DOWNLOAD_AGAIN) from exc
    if not isinstance(weight_map, dict) or {*map(type, weight_map.values())} != {str}:
        raise refusal(index, ["it has no weight_map from tensors to files"], DOWNLOAD_AGAIN)
    return weight_map
