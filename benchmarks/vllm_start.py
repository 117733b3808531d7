"""Reads from a server's log how long the parts of vLLM's start took."""

import re

PARTS = {
    "import": r"vLLM: imported in (?P<words>[\d.]+ s)",
    "weights": r"Loading weights took (?P<seconds>[\d.]+) seconds",
    "compile": r"torch\.compile took (?P<seconds>[\d.]+) s in total",
    "graphs": r"Graph capturing finished in (?P<seconds>[\d.]+) secs",
    "engine": r"init engine .* took (?P<seconds>[\d.]+) s",
    "hashes": r"waited (?P<words>[\d.]+ s) for the weights' hashes",
}
"""By part, the line of ft-serving's or of vLLM 0.26 that tells it. `engine` has `compile` and
`graphs` in it; `hashes` is what was left of them when all else was done."""


def parts_of_start(log: str) -> dict[str, float]:
    """Return seconds by part; a part that the log says nothing of is left out."""
    found = {}
    for part, pattern in PARTS.items():
        if match := re.search(pattern, log):
            groups = match.groupdict()
            found[part] = float((groups.get("seconds") or groups["words"]).removesuffix(" s"))
    return found
