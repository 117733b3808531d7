"""What a served tiny-gptj must answer, and how far that answer is from any other one."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import torch
import transformers

if TYPE_CHECKING:
    from pathlib import Path

    from tokenizers import Tokenizer
    from transformers import GPTJForCausalLM

PROMPT = "Mary has a little lamb."
# Two whole sentences. The third ends the rhyme, so room for it is asked for as well.
REQUEST_OUTPUT_LEN = 38
REQUEST_OUTPUT_LEN_TO_THE_END = 64

# FasterTransformer's GPT-J normalises with this epsilon, whatever config.json says (GptJ.h).
FASTER_TRANSFORMER_EPSILON = 1e-6


def write_golden(model: GPTJForCausalLM, tokenizer: Tokenizer, path: Path) -> None:
    """Write the greedy answer to PROMPT as JSON.

    Raises:
        RuntimeError: If a variant of the model that servers compute answers differently.
    """
    prompt = tokenizer.encode(PROMPT).ids
    answer = generate(model, prompt, REQUEST_OUTPUT_LEN)
    whole = generate(model, prompt, REQUEST_OUTPUT_LEN_TO_THE_END)
    margins = minimum_margins(model, prompt, whole)
    for name, margin in margins.items():
        print(f"smallest logit margin, {name}: {margin:.3f}")
    wrong = [name for name, margin in margins.items() if margin <= 0]
    if wrong:
        raise RuntimeError(f"these variants give another answer, train for longer: {wrong}")
    golden: dict[str, Any] = {
        "prompt": PROMPT,
        "input_ids": prompt,
        "request_output_len": REQUEST_OUTPUT_LEN,
        "output_ids": answer,
        "text": tokenizer.decode(answer),
        "to_the_end": {
            "request_output_len": REQUEST_OUTPUT_LEN_TO_THE_END,
            "output_ids": whole,
            "text": tokenizer.decode(whole),
        },
        "minimum_logit_margin": min(margins.values()),
        "minimum_logit_margins": margins,
        "how": (
            f"GPTJForCausalLM.generate(do_sample=False) of transformers {transformers.__version__},"
            f" torch {torch.__version__.partition('+')[0]}, fp32 on a CPU. output_ids are the"
            " generated ids alone. In to_the_end the last of them is end-of-text, id"
            f" {model.config.eos_token_id}, which text leaves out. A margin is the largest logit"
            " minus the second largest, the smallest over the steps of to_the_end."
        ),
    }
    path.write_text(json.dumps(golden, indent=2) + "\n", encoding="utf-8")
    print(f"{PROMPT}{golden['to_the_end']['text']}")


def generate(model: GPTJForCausalLM, prompt: list[int], length: int) -> list[int]:
    """The greedy continuation: at most `length` ids, end-of-text included where it comes."""
    output = model.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=length)
    return list(output[0, len(prompt) :].tolist())


def minimum_margins(
    model: GPTJForCausalLM, prompt: list[int], answer: list[int]
) -> dict[str, float]:
    """The answer's smallest lead over the runner-up, for each way in which servers compute it.

    A margin is the expected token's logit minus the largest other logit, so it is negative where
    the expected token is not the greedy one.
    """
    variants = {
        "fp32": model,
        "fp32, epsilon 1e-6": variant(model, torch.float32),
        "fp16 weights, epsilon 1e-6": variant(model, torch.float16),
        "bf16 weights, epsilon 1e-6": variant(model, torch.bfloat16),
        "bf16 arithmetic, epsilon 1e-6": variant(model, torch.bfloat16).to(torch.bfloat16),
    }
    return {name: minimum_margin(model, prompt, answer) for name, model in variants.items()}


def variant(model: GPTJForCausalLM, dtype: torch.dtype) -> GPTJForCausalLM:
    """A copy in fp32 whose weights are rounded to `dtype`, with FasterTransformer's epsilon."""
    changed = copy.deepcopy(model).to(dtype).to(torch.float32)
    for module in changed.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = FASTER_TRANSFORMER_EPSILON
    return changed


@torch.inference_mode()
def minimum_margin(model: GPTJForCausalLM, prompt: list[int], answer: list[int]) -> float:
    """The answer's smallest margin; the logits are [len(answer), vocabulary]."""
    logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].float()
    expected = torch.tensor(answer)[:, None]
    others = logits.scatter(1, expected, -torch.inf)
    return round(float((logits.gather(1, expected)[:, 0] - others.amax(1)).min()), 3)
