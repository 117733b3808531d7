"""Train tiny-neox: a GPT-NeoX of 857,216 parameters that knows nursery rhymes by heart.

    python -m venv venv && venv/bin/pip install --require-hashes -r ../tiny-gptj/requirements.txt
    venv/bin/python train.py --output DIR

Text, tokenizer and training are tiny-gptj's, whose train.py says what this needs and how long it
takes.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
import transformers
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

sys.path.insert(0, str(Path(__file__).parents[1] / "tiny-gptj"))

import golden
import train as tiny_gptj

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class _Config(GPTNeoXConfig):
    """The configuration, with tiny-gptj's name for the number of positions."""

    attribute_map: ClassVar[dict[str, str]] = {"n_positions": "max_position_embeddings"}


def new_model() -> GPTNeoXForCausalLM:
    """Return a GPT-NeoX with random weights; 1, 2 and 4 GPUs can share its four heads."""
    config = _Config(
        vocab_size=tiny_gptj.VOCABULARY,
        max_position_embeddings=512,
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=3,
        num_attention_heads=4,
        rotary_pct=0.25,
        use_parallel_residual=True,
        hidden_act="gelu",
        tie_word_embeddings=False,
        bos_token_id=tiny_gptj.END_OF_TEXT_ID,
        eos_token_id=tiny_gptj.END_OF_TEXT_ID,
        pad_token_id=tiny_gptj.PAD_ID,
        architectures=["GPTNeoXForCausalLM"],
        torch_dtype="float32",
    )
    return GPTNeoXForCausalLM(config)


def write_golden(model: GPTNeoXForCausalLM, tokenizer: Tokenizer, path: Path) -> None:
    """Write the greedy answer to tiny-gptj's question as JSON.

    Raises:
        RuntimeError: A variant of the model that servers compute answers differently.
    """
    prompt = tokenizer.encode(golden.PROMPT).ids
    answer = golden.generate(model, prompt, golden.REQUEST_OUTPUT_LEN)
    whole = golden.generate(model, prompt, golden.REQUEST_OUTPUT_LEN_TO_THE_END)
    margins = {
        name: golden.minimum_margin(variant, prompt, whole)
        for name, variant in variants(model).items()
    }
    print(margins)
    if min(margins.values()) <= 0:
        raise RuntimeError("a variant gives another answer, train for longer")
    document = {
        "prompt": golden.PROMPT,
        "input_ids": prompt,
        "request_output_len": golden.REQUEST_OUTPUT_LEN,
        "output_ids": answer,
        "text": tokenizer.decode(answer),
        "to_the_end": {
            "request_output_len": golden.REQUEST_OUTPUT_LEN_TO_THE_END,
            "output_ids": whole,
            "text": tokenizer.decode(whole),
        },
        "minimum_logit_margin": min(margins.values()),
        "minimum_logit_margins": margins,
        "how": (
            "GPTNeoXForCausalLM.generate(do_sample=False) of transformers "
            f"{transformers.__version__}, torch {torch.__version__.partition('+')[0]}, fp32 on a "
            "CPU; the names mean what they mean in tiny-gptj's golden.json"
        ),
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(golden.PROMPT + document["to_the_end"]["text"])


def variants(model: GPTNeoXForCausalLM) -> dict[str, GPTNeoXForCausalLM]:
    """Return the model in each way in which servers compute it.

    FasterTransformer approximates GELU by tanh, whatever config.json says.
    """
    tanh = copy.deepcopy(model)
    for layer in tanh.gpt_neox.layers:
        layer.mlp.act = transformers.activations.ACT2FN["gelu_new"]
    rounded = {
        f"{name} weights, tanh": copy.deepcopy(tanh).to(dtype).to(torch.float32)
        for name, dtype in (("fp16", torch.float16), ("bf16", torch.bfloat16))
    }
    arithmetic = copy.deepcopy(model).to(torch.bfloat16)
    return {"fp32": model, "fp32, tanh": tanh, **rounded, "bf16 arithmetic": arithmetic}


def main() -> None:
    """Train, report, and write the model's files and golden.json."""
    parser = argparse.ArgumentParser(description="Train tiny-neox on tiny-gptj's rhymes.txt.")
    parser.add_argument("--output", type=Path, required=True, help="folder for the files")
    parser.add_argument("--steps", type=int, default=tiny_gptj.STEPS, help="default: %(default)s")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(tiny_gptj.SEED)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)

    rhymes = tiny_gptj.read_rhymes()
    tokenizer = tiny_gptj.train_tokenizer(rhymes)
    model = new_model()
    tiny_gptj.train(model, tiny_gptj.batches(rhymes, tokenizer), arguments.steps)
    tiny_gptj.report(model, tokenizer, rhymes)
    tiny_gptj.save(model, tokenizer, arguments.output)
    write_golden(model, tokenizer, arguments.output / "golden.json")


if __name__ == "__main__":
    main()
