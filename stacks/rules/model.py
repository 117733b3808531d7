"""Between a model, its question and its load."""

from ft_serving.core.families.architecture import hidden_misfit
from ft_serving.core.lengths import LengthLimits
from stacks.engines import engine_for
from stacks.errors import Problem, any_of
from stacks.models import blueprint_of, golden_of, known_model
from stacks.rules.base import Problems, Rule
from stacks.sections import Golden, GpuSettings, Model, Serving


def _dimensions(model: Model) -> Problems:
    known = known_model(model.repository)
    given = model.dimensions
    if known is None and given is None:
        yield Problem(
            path="model.dimensions",
            rule=f"must be set for {model.repository}, which is not built in",
            got="nothing",
            use="the numbers of its config.json",
        )
    if known is not None and given is not None and given.shape != known.blueprint.shape:
        yield Problem(
            path="model.dimensions",
            rule=f"must be left out for {model.repository}, whose numbers are built in",
            got="others",
            use="no dimensions",
        )


def _head_size(model: Model, gpu: GpuSettings, serving: Serving) -> Problems:
    given, engine = model.dimensions, engine_for(serving.engine, gpu.model)
    if given is None:
        return
    if misfit := hidden_misfit(given.hidden_size, given.heads, engine.release_format):
        yield Problem(
            path="model.dimensions.hiddenSize",
            rule=misfit.rule,
            got=str(misfit.got),
            use=any_of(misfit.valid),
        )


def _golden(model: Model, golden: Golden | None, serving: Serving) -> Problems:
    found = golden_of(model, golden)
    if found is None:
        yield Problem(
            path="golden",
            rule=f"must be set for {model.repository}, which is not built in",
            got="nothing",
            use="prompt, outputLength, and expectedTokenIds or expectedWords",
        )
        return
    ids = found.expected_token_ids
    if (ids is None) == (found.expected_words is None):
        yield Problem(
            path="golden",
            rule="must have one of expectedTokenIds and expectedWords",
            got="none" if ids is None else "both",
            use="expectedTokenIds on CPUs, expectedWords where formats of GPUs may differ",
        )
    if ids is not None and len(ids) > found.output_length:
        yield Problem(
            path="golden.outputLength",
            rule=f"must be at least the number of expectedTokenIds, {len(ids)}",
            got=str(found.output_length),
            use=str(len(ids)),
        )
    if found.output_length > serving.output_length:
        yield Problem(
            path="serving.outputLength",
            rule=f"must be at least the golden question's {found.output_length} tokens",
            got=str(serving.output_length),
            use=f"{found.output_length} or more, or a golden question with a smaller outputLength",
        )
    blueprint = blueprint_of(model)
    if ids is not None and blueprint is not None and max(ids) >= blueprint.shape.vocabulary:
        yield Problem(
            path="golden.expectedTokenIds",
            rule=f"must be below the vocabulary's size {blueprint.shape.vocabulary}",
            got=str(max(ids)),
            use=f"ids up to {blueprint.shape.vocabulary - 1}",
        )


def _length(model: Model, serving: Serving) -> Problems:
    blueprint = blueprint_of(model)
    if blueprint is None:
        return
    most = blueprint.shape.context
    limits = LengthLimits(
        context_length=most,
        input_length=serving.input_length,
        output_length=serving.output_length,
    )
    if not limits.fit_context:
        yield Problem(
            path="serving",
            rule=f"inputLength plus outputLength must be at most the model's {most} tokens",
            got=f"{serving.input_length} plus {serving.output_length}",
            use=f"an inputLength of at most {max(1, most - serving.output_length)}"
            if serving.output_length < most
            else f"an outputLength below {most}",
        )


RULES = (
    Rule(sections=("model",), check=_dimensions),
    Rule(sections=("model", "gpu", "serving"), check=_head_size),
    Rule(sections=("model", "golden", "serving"), check=_golden),
    Rule(sections=("model", "serving"), check=_length),
)
