"""Compares a client's tokenizer with what the served model says of its own."""

from tokenizers import Tokenizer

from ft_serving.client.errors import TokenizerError
from ft_serving.client.model import ModelDescription
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER

MOST_PADDING = 1024
"""Rows that an embedding may have beyond its tokenizer's tokens: GPT-J has 143, and one that is
padded to a multiple of 128 on each of eight GPUs up to 1023."""


def check_tokenizer(
    tokenizer: Tokenizer, source: str | None, model: ModelDescription
) -> str | None:
    """Return what to tell a user whose tokenizer may not be the model's, or None.

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
    name = source or "that was given"
    if model.vocabulary is not None:
        # Tokens that were added behind a vocabulary occur in no ordinary text.
        least, most = tokenizer.get_vocab_size(with_added_tokens=False), tokenizer.get_vocab_size()
        sizes = f"The tokenizer {name} has {most} tokens; the served model has {model.vocabulary}"
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
