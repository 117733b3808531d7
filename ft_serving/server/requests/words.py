"""Lists of words as FasterTransformer encodes them, and stop words as it matches them.

The rules are those of `stop_criteria_kernels.cu`.

A list is [2, n]: row 0 holds the token ids of all words one after the other, row 1 the offset
behind each word's last token. Words [5, 6] and [7] are [[5, 6, 7], [2, 3, -1]]; no words
[[0], [-1]].
"""

from collections import defaultdict
from collections.abc import Sequence

from ft_serving.core.arrays import TokenArray

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

    def end(self, text: TokenArray) -> bool:
        """Tell whether `text`, prompt included and not empty, ends with a stop word."""
        if self._always:
            return True
        words = self._by_last.get(int(text[-1]), ())
        return any(text[-len(word) :].tolist() == word for word in words)
