"""Tells kinds of checkpoints that cannot be converted, and how to make a usable one of each.

Each answer is a few sentences that end a message: the kind, then the command or the setting.
CHECKPOINT, FOLDER and the like stand for what the user fills in.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Any

ADAPTER_CONFIG = "adapter_config.json"

_LOAD = "AutoModelForCausalLM.from_pretrained(CHECKPOINT"
_SAVE = "save_pretrained(FOLDER)"

_MERGE = (
    f"Merge it with peft, AutoPeftModelForCausalLM.from_pretrained(ADAPTER).merge_and_unload()."
    f"{_SAVE}, and prepare FOLDER."
)
_GATHER = (
    "Run DeepSpeed's `python zero_to_fp32.py CHECKPOINT FOLDER`, put config.json beside the "
    "pytorch_model.bin that it writes, and prepare that folder."
)
_DEQUANTIZE = (
    f"Save it dequantized, with transformers: model = {_LOAD}).dequantize(), then model.{_SAVE}; "
    "and prepare FOLDER."
)
_ORIGINAL = "Prepare the model that it was made from."

# The last part of a quantized tensor's name; the method that stores it, and what to do.
_QUANTIZED: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(["qweight", "qzeros", "g_idx"], ("GPTQ or AWQ", _ORIGINAL)),
    **dict.fromkeys(["SCB", "weight_format", "quant_map"], ("bitsandbytes", _DEQUANTIZE)),
    # The 4-bit tensors of bitsandbytes have these, too; quant_map, above, tells them.
    **dict.fromkeys(["absmax", "code"], ("blocks of 8 bits", _ORIGINAL)),
}

# peft's methods that add vectors to the prompt: they have no place among the weights.
_OF_THE_PROMPT = {
    *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"),
    *("ADAPTION_PROMPT", "CPT"),
}

_VARIANT = (
    f"It is a variant, such as fp16. Save it under the plain names: {_LOAD}, "
    f'variant="fp16").{_SAVE}; and prepare FOLDER.'
)
_OF_OTHER_LIBRARY = (
    "Its weights are for {library}. Save them for torch, with transformers before 5: "
    f"{_LOAD}, {{option}}=True).{_SAVE}; and prepare FOLDER."
)

# Names of files, and of folders (with a slash at the end), by which a kind is known.
_FILES: Mapping[str, str] = {
    r"zero_to_fp32\.py|global_step\d+/.*|.*_(model|optim)_states\.pt": (
        f"It is a training checkpoint of DeepSpeed. {_GATHER}"
    ),
    r"pytorch_model_fsdp_\d+/.*|.*\.distcp": (
        "It is a training checkpoint of FSDP. Merge it, `accelerate merge-weights "
        "CHECKPOINT/pytorch_model_fsdp_0 FOLDER`, put config.json beside the result, and prepare "
        "FOLDER."
    ),
    r"(?i:.*\.gguf|.*ggml.*\.bin)": (
        f"Its weights are quantized for llama.cpp (GGUF, GGML). {_ORIGINAL}"
    ),
    r"(?i:quant(ize)?_config\.json|.*(gptq|awq).*\.(safetensors|pt|bin))": (
        f"Its weights are quantized (GPTQ or AWQ). {_ORIGINAL}"
    ),
    r"[^/]+\.ckpt/?": (
        "It is a training checkpoint of PyTorch Lightning. Load it with torch, and save what is "
        "under 'state_dict' as pytorch_model.bin, beside config.json."
    ),
    r"(model|pytorch_model)(\.\w+)?\.\w+\.(safetensors|bin)|.*\.index\.\w+\.json": _VARIANT,
    r"flax_model.*": _OF_OTHER_LIBRARY.format(library="Flax", option="from_flax"),
    r"tf_model.*": _OF_OTHER_LIBRARY.format(library="TensorFlow", option="from_tf"),
}

_SHOWN = 200  # a hostile file's settings can have megabytes


def kind_of_files(names: Collection[str], read: Callable[[str], bytes]) -> str | None:
    """Return the kind of a checkpoint whose files are not those of a whole model, if it is known.

    Args:
        names: Its files; folders end in a slash.
        read: Returns a file's content; called for an adapter's settings only.
    """
    if ADAPTER_CONFIG in names:
        return _adapter(read(ADAPTER_CONFIG))
    for pattern, kind in _FILES.items():
        if any(re.fullmatch(pattern, name) for name in names):
            return kind
    return None


def kind_of_config(config: Mapping[str, Any]) -> str | None:
    """Return the kind of a checkpoint whose config.json says that it is quantized."""
    settings = config.get("quantization_config")
    if not isinstance(settings, dict) or not settings:
        return None
    # Early files of bitsandbytes do not name the method.
    of_bits = settings.get("load_in_8bit") or settings.get("load_in_4bit")
    method = settings.get("quant_method", "bitsandbytes" if of_bits else None)
    remedy = _DEQUANTIZE if method == "bitsandbytes" else _ORIGINAL
    return (
        "quantization_config: the weights must be fp32, fp16 or bf16, not quantized; got "
        f"quant_method {_shown(method)}. {remedy} "
        "If they are floats all the same, delete quantization_config from config.json."
    )


def kind_of_tensors(
    *,
    expected: Mapping[str, tuple[int, ...]],
    vocabulary: Set[str],
    head: Set[str],
    prefixes: Sequence[str],
    shapes: Mapping[str, tuple[int, ...]],
    others: Mapping[str, str],
) -> str:
    """Return the kind of a checkpoint whose tensors are not those of the model.

    Args:
        expected: Names and shapes of the model's tensors.
        vocabulary: Those of them that have a row a token.
        head: Those of them that are the language-model head's.
        prefixes: Each stands before names of the model's tensors in the checkpoint.
        shapes: Names and shapes of the checkpoint's weights.
        others: Names and dtypes, in safetensors' word, of its tensors that are no weights.
    """
    found = shapes.keys() | others.keys()
    formats = {others[name] for name in expected if name in others}
    of_formats = f"Its weights are quantized. {_ORIGINAL}" if formats else None
    if formats == {"F64"}:
        of_formats = (
            f"Its weights are fp64. Save them as fp32: {_LOAD}).float().{_SAVE}; and prepare "
            "FOLDER."
        )
    of_prefixes = (
        f"It holds several models, whose names begin with {_shown(prefixes)}. Save the tensors of "
        "one."
    )
    return (
        _kind_of_names(found)
        or of_formats
        or _kind_of_shapes(expected, vocabulary, shapes)
        or _kind_of_head(expected.keys(), head, found)
        or (of_prefixes if len(prefixes) > 1 else None)
        or "Use the config.json and the weights of one checkpoint, as transformers' "
        "save_pretrained writes them."
    )


def _kind_of_names(found: Set[str]) -> str | None:
    if any(".lora_" in name or ".base_layer." in name for name in found):
        return (
            "It holds an adapter that is not merged into the weights. Call peft's "
            f"merge_and_unload() on the model, then {_SAVE} on what it returns; and prepare FOLDER."
        )
    endings = {name.rpartition(".")[2] for name in found}
    for ending, (method, remedy) in _QUANTIZED.items():
        if ending in endings:
            return f"Its weights are quantized ({method}). {remedy}"
    return None


def _kind_of_shapes(
    expected: Mapping[str, tuple[int, ...]],
    vocabulary: Set[str],
    shapes: Mapping[str, tuple[int, ...]],
) -> str | None:
    wrong = {name for name in expected if name in shapes and shapes[name] != expected[name]}
    if any(0 in shapes[name] for name in wrong):
        return (
            "Its tensors are empty: it was saved while DeepSpeed's ZeRO-3 had the values elsewhere."
            f" {_GATHER} With stage3_gather_16bit_weights_on_model_save in DeepSpeed's settings, a "
            "training saves whole tensors."
        )
    if not wrong or not wrong <= vocabulary <= shapes.keys():
        return None
    if len({shapes[name][:1] for name in vocabulary}) == 1 and all(
        shapes[name][1:] == expected[name][1:] for name in vocabulary
    ):
        [size] = {shapes[name][0] for name in vocabulary}
        return (
            f"Its vocabulary was resized to {size} tokens. Set vocab_size to {size} in the "
            "config.json of a copy, and prepare the copy."
        )
    return (
        "Its vocabulary was resized in a part of its tensors only. Load it with transformers, call "
        f"resize_token_embeddings(SIZE), then {_SAVE}; and prepare FOLDER."
    )


def _kind_of_head(expected: Set[str], head: Set[str], found: Set[str]) -> str | None:
    body, module = expected - head, min(head).split(".")[-2]
    if not head & found:
        # A model that is saved without its head lacks the first part of the names, too.
        if body <= found or {name.partition(".")[2] for name in body} <= found:
            return (
                f"It has no {module}, so it was saved from a model of another class. Save it from "
                "transformers' class for causal language models, with its trained head."
            )
    elif head - found and body <= found:
        return (
            f"It has a part of {module} only; the rest may be shared with the embedding. Give the "
            "head values of its own, set tie_word_embeddings to false in config.json, and save it "
            "again."
        )
    return None


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN]


def _adapter(content: bytes) -> str:
    try:
        settings = json.loads(content)
    except (ValueError, RecursionError):
        settings = None
    if not isinstance(settings, dict):
        settings = {}
    method, base = settings.get("peft_type"), settings.get("base_model_name_or_path")
    kind = f"It is an adapter (peft_type {_shown(method)}) for the model {_shown(base)}."
    if method in _OF_THE_PROMPT:
        return f"{kind} Its vectors belong to the prompt and cannot be merged into weights."
    return f"{kind} {_MERGE}"
