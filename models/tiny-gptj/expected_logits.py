"""Write the logits that a GPT-J implementation must find for tiny-gptj's weights.

    venv/bin/python expected_logits.py --model . --output ../../tests/data/tiny-gptj-logits.json

For each prompt: all logits at the last position, and those of a few tokens at every position,
which show at once where an implementation goes astray. Computed by Hugging Face's
GPTJForCausalLM in fp32 with the layer-norm epsilon of config.json, on a CPU.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import GPTJForCausalLM

PROMPTS = ("Mary has a little lamb.", "Twinkle, twinkle, little star,\nHow I wonder")
SAMPLED_TOKENS = list(range(1, 1024, 64))
# Logits are below 100, so this is finer than the spacing of their fp32 values.
DECIMALS = 6


def rounded(values: list[float]) -> list[float]:
    """The values with as many decimals as fp32 can tell apart."""
    return [round(value, DECIMALS) for value in values]


@torch.inference_mode()
def main() -> None:
    """Load the model, compute, write JSON."""
    parser = argparse.ArgumentParser(description="Write tiny-gptj's expected logits.")
    parser.add_argument("--model", type=Path, required=True, help="folder with the trained model")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(arguments.model / "tokenizer.json"))
    model = GPTJForCausalLM.from_pretrained(arguments.model).eval()
    prompts = []
    for prompt in PROMPTS:
        ids = tokenizer.encode(prompt).ids
        logits = model(torch.tensor([ids])).logits[0]
        prompts.append(
            {
                "prompt": prompt,
                "input_ids": ids,
                "last_position": rounded(logits[-1].tolist()),
                "sampled_tokens": [rounded(row) for row in logits[:, SAMPLED_TOKENS].tolist()],
            }
        )
    expected = {
        "layer_norm_epsilon": model.config.layer_norm_epsilon,
        "sampled_tokens": SAMPLED_TOKENS,
        "prompts": prompts,
    }
    arguments.output.write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
