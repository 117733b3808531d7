"""Between text and token ids."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer

from ft_serving.client.tokenizer import END_OF_TEXT

# What a decoder writes for bytes that are no character (yet).
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def end_of_text(tokenizer: Tokenizer) -> int | None:
    """The id of the token that ends a text, if the tokenizer has the usual one."""
    return tokenizer.token_to_id(END_OF_TEXT)


def encode_word(tokenizer: Tokenizer, word: str) -> list[tuple[int, ...]]:
    """The token ids of a word as it may occur in a text: by itself, and behind a space.

    Byte-level tokens include the space in front of a word, so that " lamb" and "lamb" have no
    token in common.
    """
    forms = {tuple(tokenizer.encode(word, add_special_tokens=False).ids)}
    if not word[0].isspace():
        forms.add(tuple(tokenizer.encode(f" {word}", add_special_tokens=False).ids))
    return sorted(forms - {()})


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """The text of generated tokens, without end-of-text and the like."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


class TextStream:
    """Decodes tokens as they come, without breaking characters of several bytes.

    A token of a byte-level tokenizer may end within a character; its text is then held back until
    the rest has come. The pieces together are the text of all tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._given = 0

    def add(self, ids: Iterable[int]) -> str:
        """The text that these tokens complete; may be empty."""
        self._ids += ids
        # All of it each time: a text has at most 2048 tokens, which decode in a millisecond.
        return self._rest(decode(self._tokenizer, self._ids).rstrip(_REPLACEMENT))

    def end(self) -> str:
        """What was held back, as it is."""
        return self._rest(decode(self._tokenizer, self._ids))

    def _rest(self, text: str) -> str:
        rest = text[self._given :]
        self._given += len(rest)
        return rest
