"""Bad words, as FasterTransformer matches them: the rules are those of `ban_bad_words.cu`."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ft_serving.server.arrays import FloatArray, TokenArray
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
