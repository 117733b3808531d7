"""What a container's last lines say about its end."""

import re

MOST_LINES = 10
_LONGEST_LINE = 400

# Triton's informational lines, and the tables that it prints.
_NOISE = re.compile(r"[IV]\d{4} [\d:.]+ |[+|]|.*\|\s*$|\s*$")
# Triton: src/core, model_lifecycle.cc. What the backend said ends where Python says where.
_MODEL = re.compile(r"failed to load '([^']+)' version \d+: [\w ]+: (?P<said>.*)\"\s*$")
_PYTHON = re.compile(r"^TritonModelException: |\\n\\nAt:\\n.*")
_REPOSITORY = re.compile(r"^error: creating server: \w+ - (failed to (?!load all models).*)")


def telling_lines(log: str) -> str:
    """The last lines, without those that tell nothing about a failure."""
    lines = [line for line in log.splitlines() if not _NOISE.match(line)]
    return "\n".join(line[:_LONGEST_LINE] for line in lines[-MOST_LINES:])


def model_failure(log: str) -> str | None:
    """Why Triton could not load a model, in its backend's words; None where it does not say."""
    for line in reversed(log.splitlines()):
        if match := _MODEL.search(line):
            return _PYTHON.sub("", match["said"]).replace("\\n", "\n").strip()
        if match := _REPOSITORY.search(line):
            return match[1]
    return None
