"""What the CPU engine needs beside its weights, in bytes.

By it the engine refuses what does not fit, and a stack gives a server enough.
"""

ENGINE_BASE_BYTES = 512 << 20
"""Triton, Python and numpy."""

QUERY_TOKENS = 256
"""Tokens of a prompt that attend at once, which bounds the scores to [heads, 256, prompt]."""

_FP32_BYTES = 4


def cache_bytes(*, layers: int, hidden: int, tokens: int) -> int:
    """Return the size of the keys and values of so many tokens, of all rows together."""
    return 2 * layers * hidden * tokens * _FP32_BYTES


def workspace_bytes(
    *, hidden: int, inner: int, heads: int, vocabulary: int, rows: int, prompt: int
) -> int:
    """Return the size of everything else that is computed.

    A token of each row is computed at once, and in turns with it prompts, each by itself.

    Args:
        hidden: Width of the residual stream.
        inner: Width of the feed-forward layer.
        heads: Attention heads.
        vocabulary: Logits a row.
        rows: Rows, a beam counting as one; 0 for what a prompt needs.
        prompt: Tokens of the longest prompt; 0 for what rows need.
    """
    activations = (rows + prompt) * (7 * hidden + 2 * inner)
    scores = heads * min(QUERY_TOKENS, prompt) * prompt
    return (activations + scores + rows * vocabulary) * _FP32_BYTES
