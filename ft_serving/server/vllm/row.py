"""A row of a request while vLLM makes its text."""

import math
from collections.abc import Mapping, Sequence

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.requests.plan import MOST_TOP_K, RowPlan
from ft_serving.server.requests.words import StopWords
from ft_serving.server.vllm.sampling import is_greedy


class VllmRow:
    """Implements `ft_serving.server.requests.job.Row` for one sampled text.

    Args:
        plan: The row's parameters.
        texts: [1, prompt and output length], begins with the prompt; grows in place.
        token_log_probs: [1, output length], filled in place; None if not wanted.
    """

    def __init__(
        self, plan: RowPlan, texts: TokenArray, token_log_probs: FloatArray | None
    ) -> None:
        self.plan = plan
        self.lengths = [0]
        self.log_probs = [0.0]
        self.finished = False
        self._text = texts[0]
        self._token_log_probs = None if token_log_probs is None else token_log_probs[0]
        self._stop_words = StopWords(plan.stop_words)

    def extend(
        self, tokens: Sequence[int], log_probs: Sequence[Mapping[int, float]] | None
    ) -> None:
        """Append tokens, up to the first that ends the text.

        Args:
            tokens: In their order.
            log_probs: For each of them, log probabilities by token: its own, and those of the
                likeliest; None if not wanted.
        """
        for place, token in enumerate(tokens):
            if self.finished:
                return
            if self._token_log_probs is not None and log_probs is not None:
                log_prob, share = self._log_prob(token, log_probs[place])
                self.log_probs[0] += log_prob
                self._token_log_probs[self.lengths[0]] = share
            self._append(token)

    def _append(self, token: int) -> None:
        plan = self.plan
        generated = self.lengths[0]
        end = len(plan.prompt) + generated + 1
        self._text[end - 1] = token
        self.lengths = [generated + 1]
        self.finished = (
            token == plan.parameters["end_id"]
            or generated + 1 == plan.parameters["output_length"]
            or (bool(self._stop_words) and self._stop_words.end(self._text[:end]))
        )

    def _log_prob(self, token: int, found: Mapping[int, float]) -> tuple[float, float]:
        """Return both of FasterTransformer's log probabilities of a token.

        The first is under the whole vocabulary; the second is its share of the top k where there
        is one, all of it where the likeliest token is taken, and else the first.
        """
        asked = self.plan.parameters
        log_prob = found[token]
        if is_greedy(asked):
            return log_prob, 0.0
        if not asked["top_k"]:
            return log_prob, log_prob
        likeliest = sorted(found.values(), reverse=True)[: min(asked["top_k"], MOST_TOP_K)]
        return log_prob, log_prob - math.log(math.fsum(map(math.exp, likeliest)))
