"""Chooses a row's next token: greedily, or by a draw.

FasterTransformer draws with cuRAND's XORWOW generator, whose stream is not reproduced here. Each
row has a Philox generator of its own, keyed by its seed, and takes one number from it a token. The
rules and probabilities are the same, the outcomes are others.
"""

import math

import numpy as np

from ft_serving.core.arrays import FloatArray, IndexArray
from ft_serving.core.parameters import RowParameters
from ft_serving.server.requests.plan import MOST_TOP_K


def largest(values: FloatArray, count: int) -> IndexArray:
    """Return the places of the `count` largest values, descending; of equals the lower first."""
    if count >= len(values):
        return np.argsort(-values, kind="stable")
    least = np.partition(values, -count)[-count]
    above = np.flatnonzero(values > least)
    equal = np.flatnonzero(values == least)[: count - len(above)]
    places = np.concatenate([above, equal])
    return places[np.argsort(-values[places], kind="stable")]


def log_sum_exp(logits: FloatArray) -> float:
    """Return the logarithm of the sum of the exponentials of [vocabulary] logits.

    It is not finite where all tokens are forbidden, or the weights are broken.
    """
    peak = float(logits.max())
    if not math.isfinite(peak):
        return peak
    return peak + math.log(np.exp(logits - peak).sum(dtype=np.float64))


class Sampler:
    """Chooses the tokens of one row.

    The rules are those of `sampling_topk_kernels.cu` and `sampling_topp_kernels.cu`:

    - Without top k and top p, the likeliest token, of equals the one with the lowest id.
    - With top k, u · p · (mass of the top k) is drawn, and the first of them is taken up to
      which the mass reaches that. So the last token of the nucleus keeps only the part of its
      mass that lies within p.
    - With top p only, likewise, over the whole vocabulary; so the likeliest token is sure where
      its probability reaches p.

    Args:
        row: The row's parameters.
        wants_log_probs: Whether to work out log probabilities.

    Attributes:
        top_p: What the next draw uses.
        log_prob: Of the last token under the whole vocabulary, if wanted.
        output_log_prob: Of the last token: in top k its share of the top k, else `log_prob`.
    """

    def __init__(self, row: RowParameters, *, wants_log_probs: bool) -> None:
        self._wants_log_probs = wants_log_probs
        top_k, top_p = row["top_k"], row["top_p"]
        self._first_top_p = self.top_p = min(max(top_p, 0.0), 1.0)
        self._top_k = min(top_k, MOST_TOP_K)
        if top_k == 0 and top_p == 0:
            self._top_k = 1
        if top_k > 0 and top_p == 0:
            self.top_p = 1.0
        self._decay = row["top_p_decay"] if 0 < row["top_p_decay"] <= 1 else 1.0
        self._least_top_p = row["top_p_min"] if 0 < row["top_p_min"] <= 1 else 0.5
        self._reset_id = row["top_p_reset_ids"]
        self._random = np.random.Generator(np.random.Philox(key=row["seed"]))
        self.log_prob = 0.0
        self.output_log_prob = 0.0

    def choose(self, logits: FloatArray) -> int:
        """Return the next token.

        Args:
            logits: [vocabulary].
        """
        best = int(logits.argmax())
        if self._top_k == 1 and not self._wants_log_probs:
            return best
        if not math.isfinite(logits[best]):  # all tokens are forbidden, or the weights are broken
            self.log_prob = self.output_log_prob = -math.inf
            return best
        token = self._draw_top_k(logits) if self._top_k else self._draw_top_p(logits, best)
        if self._wants_log_probs:
            self.log_prob = float(logits[token]) - log_sum_exp(logits)
            if not self._top_k:
                self.output_log_prob = self.log_prob
        return token

    def _uniform(self) -> float:
        """Return a number above 0, up to 1."""
        return 1.0 - self._random.random()

    def _draw_top_k(self, logits: FloatArray) -> int:
        places = largest(logits, self._top_k)
        top = logits[places]
        mass = np.exp(top - top[0]).cumsum(dtype=np.float64)
        rank = int(mass.searchsorted(self._uniform() * self.top_p * mass[-1]))
        self.output_log_prob = float(top[rank] - top[0]) - math.log(mass[-1])
        return int(places[rank])

    def _draw_top_p(self, logits: FloatArray, best: int) -> int:
        probabilities = np.exp(logits - logits[best])
        total = probabilities.sum(dtype=np.float64)
        wanted = self._uniform() * self.top_p * total
        token = best
        if wanted > 1:  # the likeliest token's share, in these units
            # Most draws end among the first tokens; sorting a whole vocabulary is slow.
            places = largest(logits, MOST_TOP_K)
            mass = probabilities[places].cumsum(dtype=np.float64)
            if mass[-1] < wanted:
                places = largest(logits, len(logits))
                mass = probabilities[places].cumsum(dtype=np.float64)
            token = int(places[min(int(mass.searchsorted(wanted)), len(places) - 1)])
        self._decay_top_p(token)
        return token

    def _decay_top_p(self, token: int) -> None:
        if token == self._reset_id:
            self.top_p = self._first_top_p
        else:
            self.top_p = max(self.top_p * self._decay, self._least_top_p)
