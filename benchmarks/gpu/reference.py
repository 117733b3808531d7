"""Hugging Face's generate, and how fast the GPU copies."""

import time
from pathlib import Path
from typing import Any

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
    results.add(part, "greedy", [_tokens(model, 1, GREEDY, seed)[0] for seed in range(3)])
    for batch in (1, 8, 64):
        _tokens(model, batch, 8)
        begun = time.monotonic()
        _tokens(model, batch, ANSWER)
        seconds = time.monotonic() - begun
        results.add(
            part, f"batch {batch}", {"tokens_per_second": round(batch * ANSWER / seconds, 1)}
        )


def _tokens(model: Any, batch: int, count: int, skip: int = 0) -> list[list[int]]:  # noqa: ANN401
    prompts = [one.prompt for one in equal_questions(batch + skip)[skip:]]
    ids = torch.tensor(prompts, device="cuda")
    with torch.inference_mode():
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=count,
            min_new_tokens=count,
            do_sample=False,
            pad_token_id=NEVER,
        )
    torch.cuda.synchronize()
    tokens: list[list[int]] = found[:, ids.shape[1] :].tolist()
    return tokens


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
