"""What changes a row's logits before a token is chosen."""

import numpy as np

from ft_serving.server.arrays import FloatArray, TokenArray
from ft_serving.server.engine.words import BadWords
from ft_serving.server.requests.plan import RowPlan

_LOWEST = np.finfo(np.float32).min


class LogitsRules:
    """Applies bad words, temperature, penalties and minimum length, in FasterTransformer's order.

    Args:
        row: The row's parameters.
        penalty_from: Length of prompt and text from which tokens are penalised.
    """

    def __init__(self, row: RowPlan, penalty_from: int) -> None:
        self._row = row
        self._bad_words = BadWords(row.bad_words)
        self._penalty_from = penalty_from
        self._inverse_temperature = np.float32(1) / (np.float32(row.temperature) + np.float32(1e-6))
        self._penalises = row.repetition_penalty != 1 or row.presence_penalty != 0
        self._is_needed = bool(
            self._bad_words or row.temperature != 1 or self._penalises or row.min_length
        )

    def apply(self, logits: FloatArray, text: TokenArray, generated: int) -> None:
        """Change the logits of the token that follows `text`.

        Args:
            logits: [vocabulary].
            text: Prompt and generated tokens.
            generated: How many of them were generated.
        """
        if not self._is_needed:
            return
        row = self._row
        if self._bad_words:
            self._bad_words.forbid(logits, text)
        if row.temperature != 1:
            logits *= self._inverse_temperature
        if self._penalises and row.padded_length + generated >= self._penalty_from:
            # A token that occurs twice is written twice, with the same value.
            # Absurd penalties make infinite logits.
            with np.errstate(over="ignore"):
                seen = logits[text] - row.presence_penalty
                penalty = row.repetition_penalty
                logits[text] = np.where(seen < 0, seen * penalty, seen / penalty)
        if generated < row.min_length:
            logits[row.end_id] = _LOWEST
