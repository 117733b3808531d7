"""Changes a row's logits before a token is chosen.

Bad words are matched by the rules of FasterTransformer's `ban_bad_words.cu`.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.requests.plan import RowPlan
from ft_serving.server.requests.words import Word


class BadWords:
    """Forbids the token that would complete a bad word.

    Token 0 is never forbidden: FasterTransformer's check is `0 < token`. An empty word forbids
    nothing.
    """

    def __init__(self, words: Sequence[Word]) -> None:
        banned = sorted({word[0] for word in words if len(word) == 1 and word[0]})
        self._banned = np.array(banned, np.intp)
        self._by_last: dict[int, list[tuple[list[int], int]]] = defaultdict(list)
        for *start, token in (word for word in words if len(word) > 1):
            if token:
                self._by_last[start[-1]].append((start, token))

    def __bool__(self) -> bool:
        return bool(self._banned.size or self._by_last)

    def forbid(self, logits: FloatArray, text: TokenArray) -> None:
        """Set the logits of forbidden tokens to minus infinity.

        Args:
            logits: Of the token that follows `text`, [vocabulary].
            text: Prompt and generated tokens, not empty.
        """
        logits[self._banned] = -np.inf
        for start, token in self._by_last.get(int(text[-1]), ()):
            if text[-len(start) :].tolist() == start:
                logits[token] = -np.inf


_LOWEST = np.finfo(np.float32).min


class LogitsRules:
    """Applies bad words, temperature, penalties and minimum length, in FasterTransformer's order.

    Args:
        row: The row's parameters.
        penalty_from: Length of prompt and text from which tokens are penalised.
    """

    def __init__(self, row: RowPlan, penalty_from: int) -> None:
        self._row = row.parameters
        self._bad_words = BadWords(row.bad_words)
        self._penalty_from = penalty_from - row.padded_length

    def apply(self, logits: FloatArray, text: TokenArray, generated: int) -> None:
        """Change the logits of the token that follows `text`.

        Args:
            logits: [vocabulary].
            text: Prompt and generated tokens.
            generated: How many of them were generated.
        """
        if self._bad_words:
            self._bad_words.forbid(logits, text)
        temperature = self._row["temperature"]
        if temperature != 1:
            logits *= np.float32(1) / (np.float32(temperature) + np.float32(1e-6))
        if generated >= self._penalty_from:
            self._penalise(logits, text)
        if generated < self._row["min_length"]:
            logits[self._row["end_id"]] = _LOWEST

    def _penalise(self, logits: FloatArray, text: TokenArray) -> None:
        presence, repetition = self._row["presence_penalty"], self._row["repetition_penalty"]
        if presence == 0 and repetition == 1:
            return
        # A token that occurs twice is written twice, with the same value. Absurd penalties make
        # infinite logits.
        with np.errstate(over="ignore"):
            seen = logits[text] - presence
            logits[text] = np.where(seen < 0, seen * repetition, seen / repetition)
