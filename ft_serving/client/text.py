"""Turns text into token ids and back, and compares a tokenizer with the served model."""

from collections.abc import Iterable, Sequence

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from ft_serving.client.errors import TokenizerError
from ft_serving.client.model import ModelDescription
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER

MOST_PADDING = 1024
"""Rows that an embedding may have beyond its tokenizer's tokens: GPT-J has 143, and one that is
padded to a multiple of 128 on each of eight GPUs up to 1023."""


def encode_word(tokenizer: Tokenizer, word: str) -> list[tuple[int, ...]]:
    """Return the token ids of a word as it may occur in a text: by itself, and behind a space.

    Byte-level tokens include the space in front of a word, so that " lamb" and "lamb" have no
    token in common.
    """
    forms = {tuple(tokenizer.encode(word, add_special_tokens=False).ids)}
    if not word[0].isspace():
        forms.add(tuple(tokenizer.encode(f" {word}", add_special_tokens=False).ids))
    return sorted(forms - {()})


def decode(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return the text of generated tokens, without special ones such as end-of-text."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True))


class TextStream:
    """Decodes tokens as they come, without breaking characters of several bytes.

    A token of a byte-level tokenizer may end within a character; its text is then held back until
    the rest has come. The pieces together are the text of all tokens.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._ids: list[int] = []
        self._given = 0

    def add(self, ids: Iterable[int]) -> str:
        """Return the text that these tokens complete; may be empty."""
        text = ""
        for token in ids:
            self._ids.append(token)
            text += self._decoder.step(self._tokenizer, token) or ""
        self._given += len(text)
        return text

    def end(self) -> str:
        """Return the text that was held back, as it is."""
        return decode(self._tokenizer, self._ids)[self._given :]


def check_tokenizer(
    tokenizer: Tokenizer, source: str | None, model: ModelDescription
) -> str | None:
    """Return a warning for a user whose tokenizer may not be the model's, or None.

    Servers other than this project's say nothing of their model; then every tokenizer passes.

    Args:
        tokenizer: The tokenizer that texts are read and written with.
        source: Where it was loaded from, as in `load_tokenizer`; None where it was not.
        model: The served model.

    Raises:
        TokenizerError: It is not the model's.
    """
    if model.source and source and _repository(source) == _repository(model.source) != "":
        return None
    remedy = "pass the model's own tokenizer.json: --tokenizer FILE"
    if model.source:
        remedy += f", or --tokenizer {model.source} where the hub has it"
    if model.vocabulary is not None:
        # Tokens that were added behind a vocabulary occur in no ordinary text.
        least, most = tokenizer.get_vocab_size(with_added_tokens=False), tokenizer.get_vocab_size()
        sizes = (
            f"The tokenizer {source or 'that was given'} has {most} tokens; the served model has "
            f"{model.vocabulary}"
        )
        too_small = model.vocabulary - most > MOST_PADDING
        if least > model.vocabulary or (too_small and source == DEFAULT_TOKENIZER):
            made = f" and was made from {model.source}" if model.source else ""
            raise TokenizerError(f"{sizes}{made}, so texts would be misread; {remedy}")
        if too_small:
            return f"{sizes}. Is it the model's own? If not, {remedy}"
    if model.source and source == DEFAULT_TOKENIZER:
        return (
            f"The served model was made from {model.source}, and no tokenizer was named: taking "
            f"{source}. If the model has another, {remedy}"
        )
    return None


def _repository(source: str) -> str:
    return source.rpartition("@")[0].casefold()
