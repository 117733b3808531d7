"""Models whose numbers and golden questions are built in."""

from dataclasses import dataclass

from stacks.sections import Dimensions, Golden, Model


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """What a configuration need not say of a model.

    Attributes:
        dimensions: Its numbers, from its config.json.
        golden: A question that a sound copy of it answers as expected.
    """

    dimensions: Dimensions
    golden: Golden


_GPT_J_6B = KnownModel(
    dimensions=Dimensions(
        hidden_size=4096,
        layers=28,
        heads=16,
        vocabulary_size=50_400,
        inner_size=16_384,
        max_sequence_length=2048,
    ),
    # Words and not tokens: kernels and formats of GPUs differ in the last bits, and where two
    # tokens are about as likely they decide. Here nothing else is likely, to a sound model.
    golden=Golden(
        prompt="Monday, Tuesday, Wednesday, Thursday,",
        output_length=8,
        expected_words=("Friday", "Saturday", "Sunday"),
    ),
)

# models/tiny-gptj/golden.json says how the answer was made.
_TINY_GPTJ = KnownModel(
    dimensions=Dimensions(
        hidden_size=128,
        layers=4,
        heads=4,
        vocabulary_size=1024,
        inner_size=512,
        max_sequence_length=512,
    ),
    golden=Golden(
        prompt="Mary has a little lamb.",
        output_length=38,
        expected_token_ids=(
            348, 434, 954, 357, 672, 395, 805, 13, 288, 958, 496, 563, 671, 13, 264, 448, 357, 796,
            296, 369, 15, 348, 85, 895, 749, 332, 296, 623, 445, 396, 13, 265, 558, 357, 773, 264,
            957, 15,
        ),
    ),
)  # fmt: skip

KNOWN_MODELS = {"EleutherAI/gpt-j-6b": _GPT_J_6B, "tiny-gptj": _TINY_GPTJ}


def known_model(repository: str) -> KnownModel | None:
    """Return what is built in of a repository; the hub takes its name in any case."""
    by_name = {name.casefold(): model for name, model in KNOWN_MODELS.items()}
    return by_name.get(repository.casefold())


def dimensions_of(model: Model) -> Dimensions | None:
    """Return a model's numbers, set or built in; none where they are neither."""
    if model.dimensions is not None:
        return model.dimensions
    known = known_model(model.repository)
    return known.dimensions if known else None


def golden_of(model: Model, golden: Golden | None) -> Golden | None:
    """Return the golden question, set or built in; none where it is neither."""
    if golden is not None:
        return golden
    known = known_model(model.repository)
    return known.golden if known else None
