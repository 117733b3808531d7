"""Models whose numbers and golden questions are built in."""

from dataclasses import dataclass

from ft_serving.core.families import DEFAULT_FAMILY, FAMILIES
from ft_serving.core.families.architecture import Shape
from ft_serving.core.families.base import Blueprint, Family
from ft_serving.core.families.gptj import GPTJ
from ft_serving.core.families.gptneox import GPTNEOX
from stacks.sections import Golden, Model


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownModel:
    """The facts of a model that a configuration may leave out.

    Attributes:
        revision: A commit of its repository.
        blueprint: Its family, and its numbers from its config.json.
        golden: A question that a sound copy of it answers as expected.
    """

    revision: str
    blueprint: Blueprint
    golden: Golden


def _week(prompt: str) -> Golden:
    """Return a question whose answer is words and not tokens.

    Kernels and formats of GPUs differ in the last bits, and where two tokens are about as likely
    they decide. Here nothing else is likely, to a sound model.
    """
    return Golden(prompt=prompt, output_length=8, expected_words=("Friday", "Saturday", "Sunday"))


_GPT_J_6B = KnownModel(
    revision="47e169305d2e8376be1d31e765533382721b2cc1",
    blueprint=Blueprint(
        family=GPTJ,
        shape=Shape(
            heads=16, head_size=256, inner=16_384, layers=28, vocabulary=50_400, context=2048
        ),
    ),
    golden=_week("Monday, Tuesday, Wednesday, Thursday,"),
)


def _tiny(revision: str, family: Family, layers: int) -> KnownModel:
    """Return a model of `models/`, whose golden.json says how the answer was made."""
    return KnownModel(
        revision=revision,
        blueprint=Blueprint(
            family=family,
            shape=Shape(
                heads=4, head_size=32, inner=512, layers=layers, vocabulary=1024, context=512
            ),
        ),
        # They know the same rhymes by heart, and have one tokenizer.
        golden=Golden(
            prompt="Mary has a little lamb.",
            output_length=38,
            expected_token_ids=(
                348, 434, 954, 357, 672, 395, 805, 13, 288, 958, 496, 563, 671, 13, 264, 448, 357,
                796, 296, 369, 15, 348, 85, 895, 749, 332, 296, 623, 445, 396, 13, 265, 558, 357,
                773, 264, 957, 15,
            ),
        ),
    )  # fmt: skip


def _neox(revision: str, layers: int, hidden: int, heads: int, vocabulary: int) -> KnownModel:
    """Return a GPT-NeoX-20B or a Pythia, which have the same proportions."""
    return KnownModel(
        revision=revision,
        blueprint=Blueprint(
            family=GPTNEOX,
            shape=Shape(
                heads=heads,
                head_size=hidden // heads,
                inner=4 * hidden,
                layers=layers,
                vocabulary=vocabulary,
                context=2048,
            ),
        ),
        # A whole week first, because the smallest copy better than they remember.
        golden=_week(
            "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday, "
            "Monday, Tuesday, Wednesday, Thursday,"
        ),
    )


_OF_ELEUTHERAI = {
    "gpt-j-6b": _GPT_J_6B,
    "gpt-neox-20b": _neox("c292233c833e336628618a88a648727eb3dff0a7", 44, 6144, 64, 50_432),
    "pythia-70m": _neox("a39f36b100fe8a5377810d56c3f4789b9c53ac42", 6, 512, 8, 50_304),
    "pythia-160m": _neox("50f5173d932e8e61f858120bcb800b97af589f46", 12, 768, 12, 50_304),
    "pythia-410m": _neox("9879c9b5f8bea9051dcb0e68dff21493d67e9d4f", 24, 1024, 16, 50_304),
    "pythia-1b": _neox("f73d7dcc545c8bd326d8559c8ef84ffe92fea6b2", 16, 2048, 8, 50_304),
    "pythia-1.4b": _neox("fedc38a16eea3bd36a96b906d78d11d2ce18ed79", 24, 2048, 16, 50_304),
    "pythia-2.8b": _neox("2a259cdd96a4beb1cdf467512e3904197345f6a9", 32, 2560, 32, 50_304),
    "pythia-6.9b": _neox("c0e3eee36dc47af0c49f361c74cfe459c09f7f23", 32, 4096, 32, 50_432),
    "pythia-12b": _neox("bb1e3e710cdf6b524461d543cfb5ba773f0a81b6", 36, 5120, 40, 50_688),
}

KNOWN_MODELS = {
    **{f"EleutherAI/{name}": model for name, model in _OF_ELEUTHERAI.items()},
    "tiny-gptj": _tiny("54e5fae26cd7dbee183429d565485ae5b2f56947", GPTJ, 4),
    "tiny-neox": _tiny("e97f3d4f09ae3adc9a8cb7fea76f5ea93768970a", GPTNEOX, 3),
}


def known_model(repository: str) -> KnownModel | None:
    """Return the built-in facts of a repository; as on the hub, case does not matter."""
    by_name = {name.casefold(): model for name, model in KNOWN_MODELS.items()}
    return by_name.get(repository.casefold())


def revision_of(model: Model) -> str | None:
    """Return a model's commit, set or built in; None where it is neither."""
    known = known_model(model.repository)
    return model.revision or (known.revision if known else None)


def family_of(model: Model) -> Family:
    """Return a model's family, built in, set, or the default one."""
    if known := known_model(model.repository):
        return known.blueprint.family
    return FAMILIES[model.family] if model.family else DEFAULT_FAMILY


def blueprint_of(model: Model) -> Blueprint | None:
    """Return a model's family and numbers, set or built in; None where they are neither."""
    known = known_model(model.repository)
    if model.dimensions is None:
        return known.blueprint if known else None
    return Blueprint(family=family_of(model), shape=model.dimensions.shape)


def golden_of(model: Model, golden: Golden | None) -> Golden | None:
    """Return the golden question, set or built in; None where it is neither."""
    if golden is not None:
        return golden
    known = known_model(model.repository)
    return known.golden if known else None
