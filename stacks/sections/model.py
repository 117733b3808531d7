"""What is served, and the question that proves it."""

from typing import Annotated, Any

from pydantic import Field

from ft_serving.core.dtypes import DType
from stacks.sections.base import Section, one_of, setting, whole

_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
REPOSITORY: dict[str, Any] = {
    "must": "be a repository on the hub, NAME or OWNER/NAME",
    "use": "one such as EleutherAI/gpt-j-6b",
    "pattern": rf"^{_NAME}(/{_NAME})?$",
    "max_length": 96,
}
COMMIT: dict[str, Any] = {
    "must": "be a commit, 40 hexadecimal digits in lower case, because branches and tags move",
    "use": "the commit that the hub shows under Files and versions",
    "pattern": r"^[0-9a-f]{40}$",
}
TOKENS: dict[str, Any] = {
    "must": "be a list of token ids, whole numbers of at least 0",
    "use": "the ids that a greedy answer of the published model has",
    "min_length": 1,
    "max_length": 2048,
}


class Dimensions(Section):
    """The numbers of a GPT-J, named as `ft_serving` names them."""

    hidden_size: int = setting("Width of the residual stream (n_embd).", **whole(32, 65_536))
    layers: int = setting("Number of layers (n_layer).", **whole(1, 512))
    heads: int = setting("Attention heads in a layer (n_head).", **whole(1, 512))
    vocabulary_size: int = setting("Rows of the embedding (vocab_size).", **whole(1, 1 << 20))
    inner_size: int = setting(
        "Width of the feed-forward layer (n_inner, or 4 times n_embd).", **whole(1, 1 << 20)
    )
    max_sequence_length: int = setting(
        "Tokens of prompt and answer together (n_positions).", **whole(1, 1 << 20)
    )


class Model(Section):
    """What is served."""

    repository: str = setting("Repository on the hub.", **REPOSITORY)
    revision: str = setting("Commit of the repository.", **COMMIT)
    dtype: DType = setting("Format of the stored weights.", default=DType.FP16, **one_of(DType))
    compute_dtype: DType | None = setting(
        "Format that the server computes in; by default the stored one. CPUs compute in fp32.",
        default=None,
        **one_of(DType),
    )
    dimensions: Dimensions | None = setting(
        "The model's numbers, from its config.json; built in for the models known here.",
        default=None,
        must="be the model's six numbers",
        use="hiddenSize, layers, heads, vocabularySize, innerSize and maxSequenceLength",
    )

    @property
    def computed_in(self) -> DType:
        """What `config.pbtxt` says is computed in."""
        return self.compute_dtype or self.dtype


class Tokenizer(Section):
    """Where clients find the tokenizer; by default in the model's repository."""

    repository: str = setting("Repository on the hub.", **REPOSITORY)
    revision: str = setting("Commit of the repository.", **COMMIT)


class Golden(Section):
    """The question that ends a deployment, and what its greedy answer must have."""

    prompt: str = setting(
        "The question.",
        must="be a text of 1 to 4000 characters",
        use="a prompt with a known continuation",
        min_length=1,
        max_length=4000,
    )
    output_length: int = setting("Tokens to ask for.", **whole(1, 2048))
    expected_token_ids: tuple[Annotated[int, Field(ge=0)], ...] | None = setting(
        "The answer's tokens, exactly.", default=None, **TOKENS
    )
    expected_words: tuple[Annotated[str, Field(min_length=1)], ...] | None = setting(
        "Words that the answer has, in this order.",
        default=None,
        must="be a list of words",
        use="words that any sound model of its kind answers with",
        min_length=1,
        max_length=64,
    )
