"""Run: python -m benchmarks.gpu.report RESULTS.json: ratios beside their goals, and a plot."""

import argparse
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

HF, FP16, FP8, FP8_1024, TRITON, OPENAI = (
    "gptj transformers",
    "gptj vllm fp16",
    "gptj vllm fp8",
    "gptj vllm fp8 1024",
    "gptj triton fp16",
    "gptj openai",
)
BATCHES = (1, 8, 64)
CLIENTS = (1, 64)

Row = tuple[str, str, str, bool | None]
"""A figure's name, as it was found, its goal, and whether that is reached; None without a goal."""


def main() -> None:
    """Write RESULTS.md and RESULTS.png beside a file of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    path: Path = parser.parse_args().results
    found = json.loads(path.read_text())
    gpus = found["run"]["gpus"]
    lines = [
        f"# GPT-J 6B and GPT-NeoX 20B on {len(gpus)} {gpus[0]}, {found['run']['date']}",
        "",
        "`python -m benchmarks.gpu`: everything in one run, random weights, 64 tokens in, 128 out.",
        "",
        "| figure | found | goal | reached |",
        "|---|---|---|---|",
    ]
    words = {True: "yes", False: "no", None: ""}
    for name, value, goal, reached in [*rows(found), *shared_rows(found)]:
        lines.append(f"| {name} | {value} | {goal} | {words[reached]} |")
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    draw(found, path.with_suffix(".png"))


def rows(found: dict[str, Any]) -> Iterator[Row]:
    """Yield the figures of GPT-J on one GPU."""

    def speed(part: str, name: str) -> float:
        value: float = found[part][name]["tokens_per_second"]
        return value

    for batch, goal in zip(BATCHES, (5.8, 4.9, 4.1), strict=True):
        one = f"batch {batch}"
        ratio = speed(FP16, one) / speed(HF, one)
        told = f"{ratio:.2f} ({speed(FP16, one):.0f} and {speed(HF, one):.0f} tokens/s)"
        yield f"vLLM against Hugging Face, {one}", told, f"{goal}", ratio >= goal
    bound = speed(FP16, "batch 1") / found[HF]["bound_tokens_per_second"]
    yield "batch 1 against the copy bound", f"{bound:.0%}", "69 %", bound >= 0.685
    yield from _through_triton(found, "gptj", "")
    for load, level in found[OPENAI].items():
        ratio = level["through"] / level["direct"]
        told = f"{ratio:.1%} ({level['through']:.0f} tokens/s)"
        name = f"OpenAI API against Triton's protocol, {load}"
        yield name, told, "95 %", ratio >= 0.95
        later = 1000 * level["later_s"]
        yield f"{name}, first token later", f"{later:.1f} ms", "3 ms", later <= 3
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
    pairs = zip(found[HF]["greedy"], found[FP16]["greedy"], strict=True)
    equal = [_equal_tokens(*pair) for pair in pairs]
    length = len(found[HF]["greedy"][0])
    # Behind a tie of the two highest logits each goes on with another text.
    ties = found[HF]["greedy_ties"]
    same = all(count == length or count in tied for count, tied in zip(equal, ties, strict=True))
    told = f"{', '.join(map(str, equal))} of {length}"
    yield "greedy tokens equal to Hugging Face's fp16, up to a tie", told, "all", same


def _equal_tokens(one: list[int], other: list[int]) -> int:
    """Return how many tokens two texts have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=True))
    return next((place for place, (left, right) in pairs if left != right), len(one))


def shared_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Yield the figures of GPT-NeoX, and of models that several GPUs share, as far as they ran."""
    if "neox vllm fp16" in found:
        yield from _through_triton(found, "neox", "")
    # The least that twice the GPUs must bring, by the size and the batch.
    goals = {2: {1: 1.45, 64: 1.4}, 4: {1: 1.0, 64: 1.25}}
    for model, (size, batches) in itertools.product(("gptj", "neox"), goals.items()):
        end, fewer = f" tp{size}", "" if size == 2 else f" tp{size // 2}"
        if f"{model} vllm fp16{end}" not in found:
            continue
        speeds, fewer_speeds = (_speeds(found[f"{model} vllm fp16{one}"]) for one in (end, fewer))
        for batch, least in batches.items():
            many, few = speeds[batch], fewer_speeds[batch]
            ratio = many / few
            goal = (f"{least}", ratio >= least) if model == "gptj" else ("", None)
            told = f"{ratio:.2f} ({many:.0f} and {few:.0f} tokens/s)"
            yield f"{NAMES[model]}, {size} GPUs against {size // 2}, batch {batch}", told, *goal
        for batch in (8, 16, 32, 64):
            replicas = 2 * fewer_speeds[batch // 2]
            told = f"{speeds[batch] / replicas:.2f} ({replicas:.0f} tokens/s by replicas)"
            name = f"{NAMES[model]}, {size} GPUs against 2 replicas with {size // 2}"
            yield f"{name}, {batch} requests in all", told, "", None
        yield from _through_triton(found, model, end)
        ready = found[f"{model} triton fp16{end}"]["ready_s"]
        yield f"{NAMES[model]}, {size} GPUs, process start to READY", f"{ready} s", "", None


NAMES = {"gptj": "GPT-J 6B", "neox": "GPT-NeoX 20B"}


def _speeds(part: dict[str, Any]) -> dict[int, float]:
    """Return tokens a second by the number of requests that are asked together."""
    return {
        int(name.removeprefix("batch ")): value["tokens_per_second"]
        for name, value in part.items()
        if name.startswith("batch ")
    }


def _through_triton(found: dict[str, Any], model: str, end: str) -> Iterator[Row]:
    """Yield the figures of Triton and the client beside those of vLLM alone."""
    alone, through = found[f"{model} vllm fp16{end}"], found[f"{model} triton fp16{end}"]
    gpus = f", {end.removeprefix(' tp')} GPUs" if end else ""
    name = f"{NAMES[model]}{gpus} through Triton"
    for scheme in ("http", "grpc"):
        for clients, goal in zip(CLIENTS, (0.98, 0.95), strict=True):
            if f"{scheme}, {clients} clients" not in through:
                # The run ended before.
                return
            reached = through[f"{scheme}, {clients} clients"]
            ratio = reached["tokens_per_second"] / alone[f"{clients} at once"]["tokens_per_second"]
            told = f"{ratio:.1%} ({reached['tokens_per_second']:.0f} tokens/s)"
            yield f"{name}, {scheme}, {clients} clients", told, f"{goal:.0%}", ratio >= goal
        later = reached["first_token_ms_p50"] - alone["64 at once"]["first_token_ms_p50"]
        yield f"{name}, {scheme}, first token later", f"{later:.0f} ms", "20 ms", later <= 20


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
        found[TRITON][f"grpc, {clients} clients"]["tokens_per_second"] for clients in CLIENTS
    ]
    axes.plot(CLIENTS, through, marker="x", linestyle=":", label="vLLM fp16 through Triton, gRPC")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("requests at once")
    axes.set_ylabel("tokens a second, all together")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=150, format="png")


if __name__ == "__main__":
    main()
