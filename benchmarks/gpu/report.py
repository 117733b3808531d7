"""Run: python -m benchmarks.gpu.report RESULTS.json: ratios beside their goals, and a plot."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HF, FP16, FP8, FP8_1024, TRITON = (
    "transformers",
    "vllm fp16",
    "vllm fp8",
    "vllm fp8 1024",
    "triton fp16",
)
BATCHES = (1, 8, 64)


def main() -> None:
    """Write RESULTS.md and RESULTS.png beside a file of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    path: Path = parser.parse_args().results
    found = json.loads(path.read_text())
    lines = [
        f"# GPT-J 6B on {found['run']['gpus'][0]}, {found['run']['date']}",
        "",
        "`python -m benchmarks.gpu`: everything in one run, 64 tokens in, 128 out, random weights.",
        "",
        "| figure | found | goal | reached |",
        "|---|---|---|---|",
    ]
    for name, value, goal, reached in rows(found):
        lines.append(f"| {name} | {value} | {goal} | {'yes' if reached else 'no'} |")
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    draw(found, path.with_suffix(".png"))


def rows(found: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield each figure, as it was found, its goal, and whether that is reached."""

    def speed(part: str, name: str) -> float:
        value: float = found[part][name]["tokens_per_second"]
        return value

    def first(part: str, name: str) -> float:
        value: float = found[part][name]["first_token_ms_p50"]
        return value

    for batch, goal in zip(BATCHES, (5.8, 4.9, 4.1), strict=True):
        one = f"batch {batch}"
        ratio = speed(FP16, one) / speed(HF, one)
        told = f"{ratio:.2f} ({speed(FP16, one):.0f} and {speed(HF, one):.0f} tokens/s)"
        yield f"vLLM against Hugging Face, {one}", told, f"{goal}", ratio >= goal
    bound = speed(FP16, "batch 1") / found[HF]["bound_tokens_per_second"]
    yield "batch 1 against the copy bound", f"{bound:.0%}", "69 %", bound >= 0.685
    for scheme in ("http", "grpc"):
        for clients, goal in ((1, 0.98), (64, 0.95)):
            name = f"{scheme}, {clients} clients"
            ratio = speed(TRITON, name) / speed(FP16, f"{clients} at once")
            told = f"{ratio:.1%} ({speed(TRITON, name):.0f} tokens/s)"
            yield f"through Triton, {name}", told, f"{goal:.0%}", ratio >= goal
        later = first(TRITON, f"{scheme}, 64 clients") - first(FP16, "64 at once")
        yield f"first token later, {scheme}, 64 clients", f"{later:.0f} ms", "20 ms", later <= 20
    mixed = speed(FP16, "mixed") / speed(FP16, "mixed in batches")
    told = f"{mixed:.2f} ({speed(FP16, 'mixed'):.0f} tokens/s)"
    yield "mixed lengths against batches that wait", told, "1.4", mixed >= 1.4
    for batch, goal in zip(BATCHES, (1.35, 1.35, 1.25), strict=True):
        one = f"batch {batch}"
        ratio = speed(FP8, one) / speed(FP16, one)
        told = f"{ratio:.2f} ({speed(FP8, one):.0f} tokens/s)"
        yield f"fp8 against fp16, {one}", told, f"{goal}", ratio >= goal
    many = speed(FP8_1024, "batch 1024")
    yield "1024 requests at once, fp8", f"{many:.0f} tokens/s", "16000", many >= 16_000
    ready = found[TRITON]["ready_s"]
    yield "process start to READY, warm caches", f"{ready} s", "30 s", ready <= 30
    same = found[HF]["greedy"] == found[FP16]["greedy"]
    yield "96 greedy tokens equal to Hugging Face's fp16", str(same), "True", same


def draw(found: dict[str, Any], file: Path) -> None:
    """Draw tokens a second over the batch, by what computes them."""
    # Without pyplot, which would look for a screen.
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for part, name in ((HF, "Hugging Face fp16"), (FP16, "vLLM fp16"), (FP8, "vLLM fp8")):
        speeds = [found[part][f"batch {batch}"]["tokens_per_second"] for batch in BATCHES]
        axes.plot(BATCHES, speeds, marker="o", label=name)
    through = [
        found[TRITON][f"grpc, {clients} clients"]["tokens_per_second"] for clients in (1, 64)
    ]
    axes.plot((1, 64), through, marker="x", linestyle=":", label="vLLM fp16 through Triton, gRPC")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("requests at once")
    axes.set_ylabel("tokens a second, all together")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150, format="png")


if __name__ == "__main__":
    main()
