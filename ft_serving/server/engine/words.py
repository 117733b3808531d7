"""Stop words and bad words, as FasterTransformer encodes and matches them.

The encoding and the rules are those of `stop_criteria_kernels.cu` and `ban_bad_words.cu`. A list
is [2, n]: row 0 holds the token ids of all words one after the other, row 1 the offset behind
each word's last token. Words [5, 6] and [7] are [[5, 6, 7], [2, 3, -1]]; no words [[0], [-1]].
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from ft_serving.server.engine.arrays import FloatArray, TokenArray

Word = tuple[int, ...]


def decode_words(ids: Sequence[int], offsets: Sequence[int], vocab_size: int) -> tuple[Word, ...]:
    """Return the words of one list.

    Equal offsets, or a first offset 0, make an empty word; FasterTransformer allows it.

    Args:
        ids: Row 0 of the list.
        offsets: Row 1 of the list.
        vocab_size: Token ids are below it.

    Raises:
        ValueError: The offsets decrease or lead beyond the list, or a token id is not in the
            vocabulary.
    """
    count = next((place for place, end in enumerate(offsets) if end < 0), len(offsets))
    if any(end >= 0 for end in offsets[count:]):
        raise ValueError("offsets must be -1 from the first -1 on")
    words = []
    start = 0
    for end in offsets[:count]:
        if end < start:
            raise ValueError(
                f"offsets must not decrease, and be padded with -1; got {end} after {start}"
            )
        if end > len(ids):
            raise ValueError(f"offsets must be at most the {len(ids)} tokens given; got {end}")
        words.append(tuple(ids[start:end]))
        start = end
    wrong = [token for token in ids[:start] if not 0 <= token < vocab_size]
    if wrong:
        raise ValueError(f"token ids must be from 0 to {vocab_size - 1}; got {wrong[0]}")
    return tuple(words)


class StopWords:
    """Tells whether a text has just ended with a stop word.

    Tokens of the prompt count too. An empty word ends a text after its first token: that is
    what the list [[0], [0]] means.
    """

    def __init__(self, words: Sequence[Word]) -> None:
        self._always = () in words
        self._by_last: dict[int, list[list[int]]] = defaultdict(list)
        for word in words:
            if word:
                self._by_last[word[-1]].append(list(word))

    def __bool__(self) -> bool:
        return self._always or bool(self._by_last)

    def end(self, text: TokenArray) -> bool:
        """Tell whether `text`, prompt included and not empty, ends with a stop word."""
        if self._always:
            return True
        words = self._by_last.get(int(text[-1]), ())
        return any(text[-len(word) :].tolist() == word for word in words)


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
