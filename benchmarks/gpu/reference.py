"""Hugging Face's generate, and how fast the GPU copies."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from benchmarks.gpu.load import ANSWER, NEVER, Results, equal_questions

GREEDY = 32


def run(part: str, checkpoint: Path, results: Results) -> None:
    """Time batches of 1, 8 and 64 in fp16, and store greedy tokens to compare with."""
    copied = _copy_bandwidth()
    results.add(part, "copy_gb_per_second", round(copied / 1e9, 1))
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float16)
    model = model.to("cuda").eval()
    weights = sum(one.numel() * one.element_size() for one in model.parameters())
    results.add(part, "weights_gb", round(weights / 1e9, 2))
    results.add(part, "bound_tokens_per_second", round(copied / weights, 1))
    greedy = [_greedy(model, question.prompt) for question in equal_questions(3)]
    results.add(part, "greedy", [tokens for tokens, _ in greedy])
    results.add(part, "greedy_ties", [ties for _, ties in greedy])
    for batch in (1, 8, 64):
        _ask(model, batch, 8)
        begun = time.monotonic()
        _ask(model, batch, ANSWER)
        seconds = time.monotonic() - begun
        results.add(
            part, f"batch {batch}", {"tokens_per_second": round(batch * ANSWER / seconds, 1)}
        )


def _greedy(model: Any, prompt: Sequence[int]) -> tuple[list[int], list[int]]:  # noqa: ANN401
    """Return the tokens behind a prompt, and at which of them the two likeliest were a tie.

    That is, their fp16 logits were equal or neighbours: a sum in another order rounds either way.
    """
    found = _generate(model, [prompt], GREEDY, output_logits=True, return_dict_in_generate=True)
    highest = [step[0].topk(2).values.tolist() for step in found.logits]
    ties = [
        place
        for place, (first, second) in enumerate(highest)
        if first - second <= np.spacing(np.float16(abs(first)))
    ]
    return found.sequences[0, len(prompt) :].tolist(), ties


def _ask(model: Any, batch: int, count: int) -> None:  # noqa: ANN401
    _generate(model, [question.prompt for question in equal_questions(batch)], count)
    torch.cuda.synchronize()


def _generate(model: Any, prompts: Sequence[Sequence[int]], count: int, **options: bool) -> Any:  # noqa: ANN401
    ids = torch.tensor(prompts, device="cuda")
    with torch.inference_mode():
        return model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=NEVER,
            **options,
        )


def _copy_bandwidth() -> float:
    """Bytes that a copy on the GPU reads and writes a second."""
    source = torch.empty(4 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    begun = time.monotonic()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    copied: int = 10 * 2 * source.numel()
    return copied / (time.monotonic() - begun)
