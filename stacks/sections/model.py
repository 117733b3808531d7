"""The sections of the model, its tokenizer and its golden question."""

from typing import Annotated, Any

from pydantic import Field

from ft_serving.core.dtypes import DType, Precision
from ft_serving.core.families import DEFAULT_FAMILY, FAMILIES
from ft_serving.core.families.architecture import Shape
from stacks.sections.base import Section, named, one_of, setting, whole

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


def _number(description: str, number: str, least: int, most: int) -> Any:  # noqa: ANN401 - as setting
    """Describe a number of the model, with the names that the families' config.json have for it."""
    names = dict.fromkeys(family.config_json[number] for family in FAMILIES.values())
    return setting(f"{description} ({', '.join(names)}).", **whole(least, most))


class Dimensions(Section):
    """A model's numbers, from its config.json."""

    hidden_size: int = _number("Width of the residual stream", "hidden", 32, 65_536)
    layers: int = _number("Number of layers", "layers", 1, 512)
    heads: int = _number("Attention heads in a layer", "heads", 1, 512)
    vocabulary_size: int = _number("Rows of the embedding", "vocabulary", 1, 1 << 20)
    inner_size: int = _number(
        "Width of the feed-forward layer; 4 times hiddenSize where config.json says null",
        "inner",
        1,
        1 << 20,
    )
    max_sequence_length: int = _number(
        "Tokens of prompt and answer together", "context", 1, 1 << 20
    )

    @property
    def shape(self) -> Shape:
        """The same numbers, as the rest of the program names them."""
        return Shape(
            heads=self.heads,
            # A hidden size that heads do not divide is refused by a rule.
            head_size=max(self.hidden_size // self.heads, 1),
            inner=self.inner_size,
            layers=self.layers,
            vocabulary=self.vocabulary_size,
            context=self.max_sequence_length,
        )


class Model(Section):
    """The model to serve."""

    repository: str = setting("Repository on the hub.", **REPOSITORY)
    revision: str | None = setting(
        "Commit of the repository; built in for the models known here.", default=None, **COMMIT
    )
    family: str | None = setting(
        "The model's family, which is model_type in its config.json; built in for the models known "
        f"here, and {DEFAULT_FAMILY.model_type} for others by default.",
        default=None,
        **named(FAMILIES),
    )
    dtype: DType = setting("Format of the stored weights.", default=DType.FP16, **one_of(DType))
    compute_dtype: Precision | None = setting(
        "Format that the server computes in; by default the stored one. CPUs compute in fp32; fp8 "
        "is made of the stored weights while they are loaded.",
        default=None,
        **one_of(Precision),
    )
    dimensions: Dimensions | None = setting(
        "The model's numbers, from its config.json; built in for the models known here.",
        default=None,
        must="be the model's six numbers",
        use="hiddenSize, layers, heads, vocabularySize, innerSize and maxSequenceLength",
    )

    @property
    def computed_in(self) -> Precision:
        """The format that the server computes in."""
        return self.compute_dtype or Precision(self.dtype.value)


class Tokenizer(Section):
    """The repository of the tokenizer; by default the model's."""

    repository: str = setting("Repository on the hub.", **REPOSITORY)
    revision: str = setting("Commit of the repository.", **COMMIT)


class Golden(Section):
    """The question that ends a deployment, and its right greedy answer."""

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
