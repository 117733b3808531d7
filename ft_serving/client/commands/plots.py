"""Plots of measurements. Importing this needs matplotlib, the extra `plots`."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ft_serving.client.measure import Level

QUANTITIES = {
    "latency_s": "latency",
    "first_token_s": "first token",
    "time_per_token_s": "a token",
}


def draw(levels: Sequence[Level], file: Path) -> None:
    """Draw throughput and times over concurrency.

    Args:
        levels: The measurements; those without an answer are left out.
        file: The PNG to write.
    """
    answered = [level for level in levels if level.good]
    at_once = [level.concurrency for level in answered]
    # Without pyplot, which would look for a screen.
    figure = Figure(figsize=(10, 4), layout="constrained")
    FigureCanvasAgg(figure)
    throughput, times = figure.subplots(1, 2)
    throughput.plot(at_once, [level.tokens_per_second for level in answered], marker="o")
    throughput.set_ylabel("tokens a second, all requests together")
    throughput.set_ylim(bottom=0)
    for number, (quantity, name) in enumerate(QUANTITIES.items()):
        found = [level.percentiles(quantity) for level in answered]
        for percentile, style in (("p50", "-"), ("p95", ":")):
            points = [
                (x, each[percentile] * 1000)
                for x, each in zip(at_once, found, strict=True)
                if each is not None
            ]
            if points:
                label = f"{name}, {percentile}"
                times.plot(
                    *zip(*points, strict=True), style, c=f"C{number}", marker="o", label=label
                )
    times.set_ylabel("milliseconds")
    times.set_yscale("log")
    times.legend()
    for axes in (throughput, times):
        axes.set_xlabel("requests at once")
        axes.set_xticks(at_once)
        axes.grid(visible=True, alpha=0.3)
    figure.savefig(file, dpi=150, format="png")
