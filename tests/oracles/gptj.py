"""GPT-J in plain numpy, straight from its definition, to hold other implementations against.

It follows Hugging Face's `GPTJForCausalLM` (transformers, modeling_gptj.py), names its weights
as that class does, and computes everything in fp64, so that a difference is the other side's
rounding. No cache, no batch: it is slow and meant to be read.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Weights = Mapping[str, NDArray[Any]]


def logits(
    weights: Weights, config: Mapping[str, Any], input_ids: Sequence[int], *, epsilon: float
) -> Array:
    """The next token's logits after every position.

    Args:
        weights: Arrays by their Hugging Face name; linear layers are [out, in].
        config: The model's config.json.
        input_ids: The tokens of one text, without padding.
        epsilon: Of every layer norm: `layer_norm_epsilon` for Hugging Face's numbers, 1e-6 for
            FasterTransformer's.

    Returns:
        fp64 [len(input_ids), vocab_size].
    """
    exact = {name: array.astype(np.float64) for name, array in weights.items()}
    hidden = exact["transformer.wte.weight"][list(input_ids)]
    for layer in range(config["n_layer"]):
        hidden = _block(exact, config, f"transformer.h.{layer}", hidden, epsilon)
    return _linear(exact, "lm_head", _layer_norm(exact, "transformer.ln_f", hidden, epsilon))


def greedy_choices(
    weights: Weights,
    config: Mapping[str, Any],
    prompt: Sequence[int],
    answer: Sequence[int],
    *,
    epsilon: float,
) -> list[int]:
    """The most likely token after the prompt and after each token of the answer but the last.

    They equal `answer` if and only if it is the greedy continuation of the prompt. One pass
    decides it, where generating would take one for every token.
    """
    found = logits(weights, config, [*prompt, *answer[:-1]], epsilon=epsilon)
    return [int(token) for token in found[len(prompt) - 1 :].argmax(axis=-1)]


def _block(
    weights: Weights, config: Mapping[str, Any], name: str, hidden: Array, epsilon: float
) -> Array:
    """Attention and feed-forward side by side, from one layer norm."""
    normed = _layer_norm(weights, f"{name}.ln_1", hidden, epsilon)
    inner = _gelu(_linear(weights, f"{name}.mlp.fc_in", normed))
    return (
        hidden
        + _attention(weights, config, f"{name}.attn", normed)
        + _linear(weights, f"{name}.mlp.fc_out", inner)
    )


def _attention(weights: Weights, config: Mapping[str, Any], name: str, normed: Array) -> Array:
    """Causal self-attention; no layer of it has a bias."""
    length, width = normed.shape
    heads = config["n_head"]

    def per_head(projection: str) -> Array:
        """[heads, length, head size]."""
        projected = _linear(weights, f"{name}.{projection}", normed)
        return projected.reshape(length, heads, width // heads).transpose(1, 0, 2)

    query = _rotary(per_head("q_proj"), config["rotary_dim"])
    key = _rotary(per_head("k_proj"), config["rotary_dim"])
    scores = query @ key.transpose(0, 2, 1) / np.sqrt(width // heads)
    scores[:, np.triu(np.ones((length, length), dtype=bool), k=1)] = -np.inf
    attention = np.exp(scores - scores.max(axis=-1, keepdims=True))
    attention /= attention.sum(axis=-1, keepdims=True)
    mixed = (attention @ per_head("v_proj")).transpose(1, 0, 2).reshape(length, width)
    return _linear(weights, f"{name}.out_proj", mixed)


def _rotary(heads: Array, rotary_dim: int) -> Array:
    """Turn the pairs (0, 1), (2, 3), … of the first rotary_dim dimensions by their position."""
    frequencies = 10000.0 ** (-np.arange(0, rotary_dim, 2) / rotary_dim)
    angles = np.arange(heads.shape[1])[:, None] * frequencies
    even, odd = heads[..., 0:rotary_dim:2], heads[..., 1:rotary_dim:2]
    turned = heads.copy()
    turned[..., 0:rotary_dim:2] = even * np.cos(angles) - odd * np.sin(angles)
    turned[..., 1:rotary_dim:2] = odd * np.cos(angles) + even * np.sin(angles)
    return turned


def _linear(weights: Weights, name: str, inputs: Array) -> Array:
    outputs: Array = inputs @ weights[f"{name}.weight"].T
    return outputs + weights[f"{name}.bias"] if f"{name}.bias" in weights else outputs


def _layer_norm(weights: Weights, name: str, hidden: Array, epsilon: float) -> Array:
    centred = hidden - hidden.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(hidden.var(axis=-1, keepdims=True) + epsilon)
    normed: Array = centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]
    return normed


def _gelu(values: Array) -> Array:
    """`gelu_new`: the approximation by a tanh."""
    inner = np.sqrt(2 / np.pi) * (values + 0.044715 * values**3)
    return np.asarray(0.5 * values * (1 + np.tanh(inner)), dtype=np.float64)
