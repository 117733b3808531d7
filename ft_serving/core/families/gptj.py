"""GPT-J.

The files are those that FasterTransformer's `examples/pytorch/gptj/utils` converters write and
`src/fastertransformer/models/gptj/GptJWeight.cc` reads; the sources are the tensors of Hugging
Face's `GPTJForCausalLM`.
"""

from collections.abc import Mapping

from ft_serving.core.families.base import (
    MOST_LAYERS,
    SUPPORTED_HEAD_SIZES,
    Architecture,
    ConfigReader,
    Family,
    Split,
    TensorRule,
)


def _read_config(config: ConfigReader) -> Architecture:
    hidden = config.integer("n_embd")
    heads = config.integer("n_head")
    vocabulary = config.integer("vocab_size")
    head_size = max(hidden // heads, 1)
    if hidden % heads:
        config.problems.append(f"n_embd: must be a multiple of n_head {heads}; got {hidden}")
    elif not config.problems and head_size not in SUPPORTED_HEAD_SIZES:
        config.problems.append(
            f"n_embd / n_head: FasterTransformer's attention supports head sizes "
            f"{', '.join(map(str, SUPPORTED_HEAD_SIZES))}; got {head_size}"
        )
    # transformers' GPTJConfig supplies these defaults; a null rotary_dim rotates whole heads.
    rotary = config.optional_integer("rotary_dim", absent=64, null=head_size)
    if rotary > head_size or rotary % 2:
        config.problems.append(
            f"rotary_dim: must be even and at most the head size {head_size}; got {rotary}"
        )
    config.one_of("activation_function", ("gelu_new", "gelu_pytorch_tanh"), default="gelu_new")
    return Architecture(
        heads=heads,
        head_size=head_size,
        inner=config.optional_integer("n_inner", absent=None, null=4 * hidden),
        layers=config.integer("n_layer", maximum=MOST_LAYERS),
        vocabulary=vocabulary,
        rotary=rotary,
        start_id=config.token("bos_token_id", default=50256, vocabulary=vocabulary),
        end_id=config.token("eos_token_id", default=50256, vocabulary=vocabulary),
        context=config.integer("n_positions", default=2048),
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

GPTJ = Family(
    model_type="gptj",
    triton_model_type="GPT-J",
    section="gptj",
    read_config=_read_config,
    hugging_face=_hugging_face,
    rules=(
        TensorRule(
            target="model.wte",
            sources=("transformer.wte.weight",),
            shape=("vocabulary", "hidden"),
        ),
        TensorRule(
            target="model.final_layernorm.weight",
            sources=("transformer.ln_f.weight",),
            shape=("hidden",),
        ),
        TensorRule(
            target="model.final_layernorm.bias",
            sources=("transformer.ln_f.bias",),
            shape=("hidden",),
        ),
        # Not transposed: FasterTransformer reads the head's hidden axis as the fast one.
        TensorRule(
            target="model.lm_head.weight",
            sources=("lm_head.weight",),
            shape=("vocabulary", "hidden"),
        ),
        TensorRule(
            target="model.lm_head.bias",
            sources=("lm_head.bias",),
            shape=("vocabulary",),
        ),
        TensorRule(
            target=f"{_TARGET}.input_layernorm.weight",
            sources=(f"{_SOURCE}.ln_1.weight",),
            shape=("hidden",),
        ),
        TensorRule(
            target=f"{_TARGET}.input_layernorm.bias",
            sources=(f"{_SOURCE}.ln_1.bias",),
            shape=("hidden",),
        ),
        TensorRule(
            target=f"{_TARGET}.attention.query_key_value.weight",
            sources=(
                f"{_SOURCE}.attn.q_proj.weight",
                f"{_SOURCE}.attn.k_proj.weight",
                f"{_SOURCE}.attn.v_proj.weight",
            ),
            shape=("hidden", "hidden"),
            transpose=True,
            split=Split.COLUMNS,
        ),
        TensorRule(
            target=f"{_TARGET}.attention.dense.weight",
            sources=(f"{_SOURCE}.attn.out_proj.weight",),
            shape=("hidden", "hidden"),
            transpose=True,
            split=Split.ROWS,
        ),
        TensorRule(
            target=f"{_TARGET}.mlp.dense_h_to_4h.weight",
            sources=(f"{_SOURCE}.mlp.fc_in.weight",),
            shape=("inner", "hidden"),
            transpose=True,
            split=Split.COLUMNS,
        ),
        TensorRule(
            target=f"{_TARGET}.mlp.dense_h_to_4h.bias",
            sources=(f"{_SOURCE}.mlp.fc_in.bias",),
            shape=("inner",),
            split=Split.COLUMNS,
        ),
        TensorRule(
            target=f"{_TARGET}.mlp.dense_4h_to_h.weight",
            sources=(f"{_SOURCE}.mlp.fc_out.weight",),
            shape=("hidden", "inner"),
            transpose=True,
            split=Split.ROWS,
        ),
        TensorRule(
            target=f"{_TARGET}.mlp.dense_4h_to_h.bias",
            sources=(f"{_SOURCE}.mlp.fc_out.bias",),
            shape=("hidden",),
        ),
    ),
    head="lm_head.",
    ignored=(f"{_SOURCE}.attn.bias", f"{_SOURCE}.attn.masked_bias"),
    # Of trl's and trlx's models for PPO. Not trlx's ilql_heads: they shift the logits.
    value_heads=("v_head.",),
)
