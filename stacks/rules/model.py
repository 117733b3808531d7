"""Rules between a model, its question and its load."""

from collections.abc import Iterator

from ft_serving.core.families.architecture import hidden_misfit
from ft_serving.core.lengths import LengthLimits
from stacks.engines import engine_for
from stacks.errors import Problem, any_of
from stacks.models import blueprint_of, golden_of, known_model, revision_of
from stacks.sections import Golden, GpuSettings, Model, Serving
from stacks.sections.model import COMMIT


def _revision(model: Model) -> Iterator[Problem]:
    if revision_of(model) is None:
        rule = f"must be set for {model.repository}, which is not built in"
        yield Problem("model.revision", rule, "nothing", str(COMMIT["use"]))


def _family(model: Model) -> Iterator[Problem]:
    known = known_model(model.repository)
    if known and model.family not in (None, known.blueprint.family.model_type):
        rule = f"must be left out for {model.repository}, whose family is built in"
        yield Problem("model.family", rule, model.family, "no family")


def _dimensions(model: Model) -> Iterator[Problem]:
    path, known, given = "model.dimensions", known_model(model.repository), model.dimensions
    if known is None and given is None:
        rule = f"must be set for {model.repository}, which is not built in"
        yield Problem(path, rule, "nothing", "the numbers of its config.json")
    if known is not None and given is not None and given.shape != known.blueprint.shape:
        rule = f"must be left out for {model.repository}, whose numbers are built in"
        yield Problem(path, rule, "others", "no dimensions")


def _head_size(model: Model, gpu: GpuSettings, serving: Serving) -> Iterator[Problem]:
    given, engine = model.dimensions, engine_for(serving.engine, gpu.model)
    if given is None:
        return
    if misfit := hidden_misfit(given.hidden_size, given.heads, engine.release_format):
        path, got = "model.dimensions.hiddenSize", str(misfit.got)
        yield Problem(path, misfit.rule, got, any_of(misfit.valid))


def _golden(model: Model, golden: Golden | None, serving: Serving) -> Iterator[Problem]:
    found = golden_of(model, golden)
    if found is None:
        yield Problem(
            "golden",
            f"must be set for {model.repository}, which is not built in",
            "nothing",
            "prompt, outputLength, and expectedTokenIds or expectedWords",
        )
        return
    ids, length = found.expected_token_ids, found.output_length
    if (ids is None) == (found.expected_words is None):
        yield Problem(
            "golden",
            "must have one of expectedTokenIds and expectedWords",
            "none" if ids is None else "both",
            "expectedTokenIds on CPUs, expectedWords where formats of GPUs may differ",
        )
    if ids is not None and len(ids) > length:
        rule = f"must be at least the number of expectedTokenIds, {len(ids)}"
        yield Problem("golden.outputLength", rule, str(length), str(len(ids)))
    if length > serving.output_length:
        yield Problem(
            "serving.outputLength",
            f"must be at least the golden question's {length} tokens",
            str(serving.output_length),
            f"{length} or more, or a golden question with a smaller outputLength",
        )
    blueprint = blueprint_of(model)
    if ids is not None and blueprint is not None and max(ids) >= blueprint.shape.vocabulary:
        size = blueprint.shape.vocabulary
        rule = f"must be below the vocabulary's size {size}"
        yield Problem("golden.expectedTokenIds", rule, str(max(ids)), f"ids up to {size - 1}")


def _length(model: Model, serving: Serving) -> Iterator[Problem]:
    blueprint = blueprint_of(model)
    if blueprint is None:
        return
    most, given, asked = blueprint.shape.context, serving.input_length, serving.output_length
    limits = LengthLimits(context_length=most, input_length=given, output_length=asked)
    if not limits.fit_context:
        yield Problem(
            "serving",
            f"inputLength plus outputLength must be at most the model's {most} tokens",
            f"{given} plus {asked}",
            f"an inputLength of at most {max(1, most - asked)}"
            if asked < most
            else f"an outputLength below {most}",
        )


RULES = (_revision, _family, _dimensions, _head_size, _golden, _length)
