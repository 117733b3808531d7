"""Reckons the memory that the CPU engine needs beside its weights, and that there is, in bytes.

The engine refuses requests that do not fit, and a stack gives its server enough.
"""

import os
from pathlib import Path

from ft_serving.core.families.architecture import Shape
from ft_serving.core.families.base import Blueprint

ENGINE_BASE_BYTES = 512 << 20
"""Triton, Python and numpy."""

QUERY_TOKENS = 256
"""Tokens of a prompt that attend at once, which bounds the scores to [heads, 256, prompt]."""

_FP32_BYTES = 4
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def cache_bytes(shape: Shape, tokens: int) -> int:
    """Return the size of the keys and values of so many tokens, of all rows together."""
    return 2 * shape.layers * shape.hidden * tokens * _FP32_BYTES


def workspace_bytes(blueprint: Blueprint, *, rows: int, prompt: int) -> int:
    """Return the size of everything else that is computed.

    A token of all rows is computed at once; prompts are computed between tokens, one by one.

    Args:
        blueprint: The model's.
        rows: Rows, a beam counting as one; 0 for what a prompt needs.
        prompt: Tokens of the longest prompt; 0 for what rows need.
    """
    family, shape = blueprint.family, blueprint.shape
    token = family.hidden_buffers * shape.hidden + family.inner_buffers * shape.inner
    scores = shape.heads * min(QUERY_TOKENS, prompt) * prompt
    return ((rows + prompt) * token + scores + rows * shape.vocabulary) * _FP32_BYTES


def memory_limit() -> int:
    """Return the machine's memory or, if smaller, the container's limit (cgroup v2), in bytes."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit = _CGROUP_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return machine
    return machine if limit == "max" else min(machine, int(limit))
