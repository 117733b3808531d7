"""Describes GPT-NeoX, the family of GPT-NeoX-20B and the Pythia models.

The files are those that FasterTransformer's `examples/pytorch/gptneox/utils` converters write and
`src/fastertransformer/models/gptneox` reads; the sources are the tensors of Hugging Face's
`GPTNeoXForCausalLM`.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ft_serving.core.dtypes import DType
from ft_serving.core.families.architecture import Architecture, Misfit
from ft_serving.core.families.base import (
    CONFIG_INI_KEYS,
    MOST_LAYERS,
    ConfigReader,
    Family,
    Split,
    TensorRule,
    norm_rules,
    shared_tensor,
    whole_tensor,
)

_CONTEXT = 2048
_ROTARY_BASE = 10_000.0
_EPSILON = 1e-5
_ROTARY_SHARE = "rotary_pct"
_EXACT_GELU = "gelu"
_TANH_GELUS = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh")


@dataclass(frozen=True, kw_only=True, slots=True)
class NeoXArchitecture(Architecture):
    """The numbers of a GPT-NeoX.

    Attributes:
        parallel_residual: Whether attention and feed-forward layer both read a layer's input.
            Otherwise the second reads the sum of that and the first's result.
        exact_gelu: Whether the activation is GELU by the error function, as in Pythia, and not its
            approximation by tanh, as in GPT-NeoX-20B. FasterTransformer computes the latter only.
        rotary_base: The base of the rotary embedding's wavelengths.
    """

    parallel_residual: bool
    exact_gelu: bool
    rotary_base: float = _ROTARY_BASE

    def parallelism_misfits(
        self, tensor_parallel: int, pipeline_parallel: int = 1
    ) -> Iterator[Misfit]:
        """Yield those of the two sizes that do not divide this model.

        Without the parallel residual, FasterTransformer adds the biases once, but its converter
        divides them by the number of ranks, so that no such files with several ranks are sound.
        """
        yield from Architecture.parallelism_misfits(self, tensor_parallel, pipeline_parallel)
        if not self.parallel_residual and tensor_parallel > 1:
            yield Misfit(
                number="tensor_parallel",
                rule="must be 1 for a model whose config.json says use_parallel_residual false",
                got=tensor_parallel,
                valid=(1,),
            )


def _read_config(config: ConfigReader) -> NeoXArchitecture:
    # transformers' GPTNeoXConfig supplies these defaults.
    heads, head_size = config.heads(hidden_key="hidden_size", heads_key="num_attention_heads")
    activation = config.one_of("hidden_act", (_EXACT_GELU, *_TANH_GELUS), default=_EXACT_GELU)
    rotary, rotary_base = _read_rotary(config, head_size)
    config.number("layer_norm_eps", default=_EPSILON, is_fixed=True)
    if not config.flag("attention_bias", default=True):
        config.refuse("attention_bias", "must be true, because the engines add biases")
    if config.flag("tie_word_embeddings", default=False):
        config.refuse(
            "tie_word_embeddings",
            "must be false. Give embed_out values of its own, the embedding's, and save the model "
            "again",
        )
    return NeoXArchitecture(
        heads=heads,
        head_size=head_size,
        inner=config.integer("intermediate_size"),
        layers=config.integer("num_hidden_layers", maximum=MOST_LAYERS),
        vocabulary=config.integer("vocab_size"),
        rotary=rotary,
        start_id=config.token("bos_token_id", default=0),
        end_id=config.token("eos_token_id", default=2),
        context=config.integer("max_position_embeddings", default=_CONTEXT),
        parallel_residual=config.flag("use_parallel_residual", default=True),
        exact_gelu=activation == _EXACT_GELU,
        rotary_base=rotary_base,
    )


def _read_rotary(config: ConfigReader, head_size: int) -> tuple[int, float]:
    """Return how many values of each head are rotated, and the base of the wavelengths.

    transformers 5 has both in an object of their own, `rope_parameters`.
    """
    for key in ("rope_parameters.rope_type", "rope_scaling.rope_type", "rope_scaling.type"):
        config.one_of(key, ("default",), default="default")
    shares = ("rope_parameters.partial_rotary_factor", "partial_rotary_factor", _ROTARY_SHARE)
    share = config.number(*shares, default=0.25)
    rotary = int(head_size * min(share, 1))
    if share > 1 or rotary < 2 or rotary % 2:
        rule = f"must be a share that is an even number of a head's {head_size} values"
        config.refuse(config.first(*shares), rule)
        # The rule has been told.
        rotary = 2
    base = config.number(
        *("rope_parameters.rope_theta", "rotary_emb_base", "rope_theta"),
        default=_ROTARY_BASE,
        is_fixed=True,
    )
    return rotary, base


def _hugging_face(architecture: NeoXArchitecture) -> Mapping[str, object]:
    rotary, head_size = architecture.rotary, architecture.head_size
    share = rotary / head_size
    # Readers take the whole part of the product.
    if int(head_size * share) < rotary:
        share = math.nextafter(share, 1)
    return {
        "architectures": ["GPTNeoXForCausalLM"],
        "tie_word_embeddings": False,
        # The names before transformers 5, and since.
        _ROTARY_SHARE: share,
        "partial_rotary_factor": share,
        "rotary_emb_base": architecture.rotary_base,
        "rope_theta": architecture.rotary_base,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": architecture.rotary_base,
            "partial_rotary_factor": share,
        },
    }


_SOURCE = "gpt_neox.layers.{layer}"
_TARGET = "model.layers.{layer}"


def _shared(name: str, *shape: str, split: Split, interleaved: int = 1) -> TensorRule:
    return shared_tensor(
        f"{_TARGET}.{name}", f"{_SOURCE}.{name}", *shape, split=split, interleaved=interleaved
    )


# Every rank adds these to its part of a sum.
_BIASES = ("attention.dense.bias", "mlp.dense_4h_to_h.bias")

GPTNEOX = Family(
    model_type="gpt_neox",
    triton_model_type="GPT-NeoX",
    section="gptneox",
    architecture=NeoXArchitecture,
    config_json={
        "hidden": "hidden_size",
        "heads": "num_attention_heads",
        "inner": "intermediate_size",
        "layers": "num_hidden_layers",
        "vocabulary": "vocab_size",
        "rotary": _ROTARY_SHARE,
        "start_id": "bos_token_id",
        "end_id": "eos_token_id",
        "context": "max_position_embeddings",
    },
    config_ini={
        **CONFIG_INI_KEYS,
        "parallel_residual": "use_gptj_residual",
        # For the engine for CPUs; FasterTransformer reads past it.
        "exact_gelu": "exact_gelu",
    },
    read_config=_read_config,
    hugging_face=_hugging_face,
    context=_CONTEXT,
    rules=(
        whole_tensor("model.wte", "gpt_neox.embed_in.weight", "vocabulary", "hidden"),
        *norm_rules("model.final_layernorm", "gpt_neox.final_layer_norm"),
        # Not transposed: FasterTransformer reads the head's hidden axis as the fast one.
        whole_tensor("model.lm_head.weight", "embed_out.weight", "vocabulary", "hidden"),
        *norm_rules(f"{_TARGET}.input_layernorm", f"{_SOURCE}.input_layernorm"),
        *norm_rules(f"{_TARGET}.post_attention_layernorm", f"{_SOURCE}.post_attention_layernorm"),
        _shared(
            "attention.query_key_value.weight",
            *("hidden", "hidden"),
            split=Split.COLUMNS,
            interleaved=3,
        ),
        _shared("attention.query_key_value.bias", "hidden", split=Split.COLUMNS, interleaved=3),
        _shared("attention.dense.weight", "hidden", "hidden", split=Split.ROWS),
        _shared("mlp.dense_h_to_4h.weight", "inner", "hidden", split=Split.COLUMNS),
        _shared("mlp.dense_h_to_4h.bias", "inner", split=Split.COLUMNS),
        _shared("mlp.dense_4h_to_h.weight", "hidden", "inner", split=Split.ROWS),
        *(
            TensorRule(
                target=f"{_TARGET}.{bias}",
                sources=(f"{_SOURCE}.{bias}",),
                shape=("hidden",),
                divide=True,
            )
            for bias in _BIASES
        ),
        # With the parallel residual, FasterTransformer reads this one instead of the two.
        TensorRule(
            target=f"{_TARGET}.mlp.attention.bias.sum",
            sources=tuple(f"{_SOURCE}.{bias}" for bias in _BIASES),
            shape=("hidden",),
            add=True,
            divide=True,
            where="parallel_residual",
        ),
    ),
    head="embed_out.",
    ignored=(
        f"{_SOURCE}.attention.bias",
        f"{_SOURCE}.attention.masked_bias",
        f"{_SOURCE}.attention.rotary_emb.inv_freq",
    ),
    # Of trl's and trlx's models for PPO.
    value_heads=("v_head.",),
    # Residual stream, its norm, three of queries, keys and values, attention's, a branch's result.
    hidden_buffers=7,
    inner_buffers=2,
    fp32_for=frozenset({DType.BF16}),
)
