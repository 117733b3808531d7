"""Describes GPT-J.

The files are those that FasterTransformer's `examples/pytorch/gptj/utils` converters write and
`src/fastertransformer/models/gptj/GptJWeight.cc` reads; the sources are the tensors of Hugging
Face's `GPTJForCausalLM`.
"""

from collections.abc import Mapping

from ft_serving.core.families.architecture import Architecture
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


def _read_config(config: ConfigReader) -> Architecture:
    heads, head_size = config.heads(hidden_key="n_embd", heads_key="n_head")
    # transformers' GPTJConfig supplies these defaults; a null rotary_dim rotates whole heads.
    config.one_of("activation_function", ("gelu_new", "gelu_pytorch_tanh"), default="gelu_new")
    return Architecture(
        heads=heads,
        head_size=head_size,
        inner=config.optional_integer("n_inner", absent=None, null=4 * heads * head_size),
        layers=config.integer("n_layer", maximum=MOST_LAYERS),
        vocabulary=config.integer("vocab_size"),
        rotary=config.optional_integer("rotary_dim", absent=64, null=head_size),
        start_id=config.token("bos_token_id", default=50256),
        end_id=config.token("eos_token_id", default=50256),
        context=config.integer("n_positions", default=_CONTEXT),
    )


def _hugging_face(architecture: Architecture) -> Mapping[str, object]:
    return {
        "architectures": ["GPTJForCausalLM"],
        # vLLM's class does not know null.
        "rotary_dim": architecture.rotary,
        # The head has values of its own, or the checkpoint is refused.
        "tie_word_embeddings": False,
    }


_SOURCE = "transformer.h.{layer}"
_TARGET = "model.layers.{layer}"


def _shared(target: str, source: str, *shape: str, split: Split) -> TensorRule:
    return shared_tensor(f"{_TARGET}.{target}", f"{_SOURCE}.{source}", *shape, split=split)


GPTJ = Family(
    model_type="gptj",
    triton_model_type="GPT-J",
    section="gptj",
    architecture=Architecture,
    config_json={
        "hidden": "n_embd",
        "heads": "n_head",
        "inner": "n_inner",
        "layers": "n_layer",
        "vocabulary": "vocab_size",
        "rotary": "rotary_dim",
        "start_id": "bos_token_id",
        "end_id": "eos_token_id",
        "context": "n_positions",
    },
    config_ini=CONFIG_INI_KEYS,
    read_config=_read_config,
    hugging_face=_hugging_face,
    context=_CONTEXT,
    rules=(
        whole_tensor("model.wte", "transformer.wte.weight", "vocabulary", "hidden"),
        *norm_rules("model.final_layernorm", "transformer.ln_f"),
        # Not transposed: FasterTransformer reads the head's hidden axis as the fast one.
        whole_tensor("model.lm_head.weight", "lm_head.weight", "vocabulary", "hidden"),
        whole_tensor("model.lm_head.bias", "lm_head.bias", "vocabulary"),
        *norm_rules(f"{_TARGET}.input_layernorm", f"{_SOURCE}.ln_1"),
        TensorRule(
            target=f"{_TARGET}.attention.query_key_value.weight",
            sources=tuple(f"{_SOURCE}.attn.{each}_proj.weight" for each in "qkv"),
            shape=("hidden", "hidden"),
            transpose=True,
            split=Split.COLUMNS,
        ),
        _shared(
            "attention.dense.weight", "attn.out_proj.weight", "hidden", "hidden", split=Split.ROWS
        ),
        _shared(
            "mlp.dense_h_to_4h.weight", "mlp.fc_in.weight", "inner", "hidden", split=Split.COLUMNS
        ),
        _shared("mlp.dense_h_to_4h.bias", "mlp.fc_in.bias", "inner", split=Split.COLUMNS),
        _shared(
            "mlp.dense_4h_to_h.weight", "mlp.fc_out.weight", "hidden", "inner", split=Split.ROWS
        ),
        whole_tensor(f"{_TARGET}.mlp.dense_4h_to_h.bias", f"{_SOURCE}.mlp.fc_out.bias", "hidden"),
    ),
    head="lm_head.",
    ignored=(f"{_SOURCE}.attn.bias", f"{_SOURCE}.attn.masked_bias"),
    # Of trl's and trlx's models for PPO. Not trlx's ilql_heads: they shift the logits.
    value_heads=("v_head.",),
    # Residual stream, its norm, three of queries, keys and values, attention's, a branch's result.
    hidden_buffers=7,
    inner_buffers=2,
)
