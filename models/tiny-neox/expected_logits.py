"""Write the logits that a GPT-NeoX implementation must find, as Hugging Face's class computes them.

    venv/bin/python expected_logits.py --model . --output ../../tests/data/neox-logits.json

Of the trained model for a prompt, and of small random models for each GELU and either residual. A
random model's tensors are drawn in the order of their names from one generator whose numbers never
change: standard normal times 0.15, plus 1 for the weights of layer norms.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

PROMPT = "Twinkle, twinkle, little star,\nHow I wonder"
RANDOM_PROMPT = [3, 58, 7, 7, 31, 12, 0, 44, 5]
SEED = 20220621
# Logits are below 100, so this is finer than the spacing of their fp32 values.
DECIMALS = 6


def random_model(hidden_act: str, *, parallel: bool) -> GPTNeoXForCausalLM:
    """Return a model no two of whose axes are alike."""
    config = GPTNeoXConfig(
        vocab_size=61,
        max_position_embeddings=64,
        hidden_size=128,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        rotary_pct=0.5,
        use_parallel_residual=parallel,
        hidden_act=hidden_act,
        bos_token_id=1,
        eos_token_id=1,
    )
    model = GPTNeoXForCausalLM(config)
    generator = np.random.RandomState(SEED)
    for name, parameter in sorted(model.named_parameters()):
        drawn = generator.standard_normal(tuple(parameter.shape)) * 0.15
        drawn += "norm.weight" in name
        parameter.data = torch.from_numpy(drawn.astype(np.float32))
    return model.eval()


@torch.inference_mode()
def case(model: GPTNeoXForCausalLM, input_ids: list[int], each: int) -> dict[str, object]:
    """Return the logits of each so-many-th token at every position, by the model's config.json."""
    logits = model(torch.tensor([input_ids])).logits[0, :, ::each]
    return {
        "config": json.loads(model.config.to_json_string()),
        "input_ids": input_ids,
        "each": each,
        "logits": [[round(value, DECIMALS) for value in row] for row in logits.tolist()],
    }


def main() -> None:
    """Compute, write JSON."""
    parser = argparse.ArgumentParser(description="Write expected logits of GPT-NeoX models.")
    parser.add_argument("--model", type=Path, required=True, help="folder with the trained model")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    prompt = Tokenizer.from_file(str(arguments.model / "tokenizer.json")).encode(PROMPT).ids
    trained = GPTNeoXForCausalLM.from_pretrained(arguments.model).eval()
    expected = {
        "trained": case(trained, prompt, 64),
        "random": [
            case(random_model(hidden_act, parallel=parallel), RANDOM_PROMPT, 6)
            for hidden_act in ("gelu", "gelu_fast")
            for parallel in (True, False)
        ],
    }
    arguments.output.write_text(json.dumps(expected) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
