"""Models whose numbers and golden questions are built in."""

from dataclasses import dataclass

from ft_serving.core.families import DEFAULT_FAMILY
from ft_serving.core.families.architecture import Shape
from ft_serving.core.families.base import Blueprint
from ft_serving.core.families.gptj import GPTJ
from stacks.sections import Golden, Model


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """The facts of a model that a configuration may leave out.

    Attributes:
        blueprint: Its family, and its numbers from its config.json.
        golden: A question that a sound copy of it answers as expected.
    """

    blueprint: Blueprint
    golden: Golden


_GPT_J_6B = KnownModel(
    blueprint=Blueprint(
        family=GPTJ,
        shape=Shape(
            heads=16, head_size=256, inner=16_384, layers=28, vocabulary=50_400, context=2048
        ),
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
    blueprint=Blueprint(
        family=GPTJ,
        shape=Shape(heads=4, head_size=32, inner=512, layers=4, vocabulary=1024, context=512),
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
    """Return the built-in facts of a repository; as on the hub, case does not matter."""
    by_name = {name.casefold(): model for name, model in KNOWN_MODELS.items()}
    return by_name.get(repository.casefold())


def blueprint_of(model: Model) -> Blueprint | None:
    """Return a model's family and numbers, set or built in; None where they are neither."""
    known = known_model(model.repository)
    if model.dimensions is None:
        return known.blueprint if known else None
    family = known.blueprint.family if known else DEFAULT_FAMILY
    return Blueprint(family=family, shape=model.dimensions.shape)


def golden_of(model: Model, golden: Golden | None) -> Golden | None:
    """Return the golden question, set or built in; None where it is neither."""
    if golden is not None:
        return golden
    known = known_model(model.repository)
    return known.golden if known else None
