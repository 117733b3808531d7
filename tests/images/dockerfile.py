"""Reads the project's Dockerfiles as far as the tests need it."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "images"
NAMES = ("client", "openai", "server", "server-cpu", "server-vllm", "weights")


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction with its lines joined, such as RUN and all that follows it."""

    name: str
    text: str

    def words(self) -> list[str]:
        """The list of an instruction in exec form, which is a JSON array."""
        words = json.loads(self.text)
        assert isinstance(words, list)
        return words


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """A Dockerfile's instructions: those before the first FROM, and those of each stage."""

    preamble: list[Instruction]
    stages: list[list[Instruction]]

    @property
    def instructions(self) -> list[Instruction]:
        """All of them in order."""
        return [*self.preamble, *(i for stage in self.stages for i in stage)]

    @property
    def defaults(self) -> dict[str, str]:
        """The arguments that FROM may use, with their defaults; "" is none."""
        pairs = (i.text.partition("=") for i in self.preamble)
        return {name: default for name, _, default in pairs}

    def final(self, name: str) -> list[str]:
        """The texts of the final stage's instructions of one name."""
        return [i.text for i in self.stages[-1] if i.name == name]

    def labels(self) -> dict[str, str]:
        """The final stage's labels."""
        return dict(re.findall(r'([\w.]+)="([^"]*)"', " ".join(self.final("LABEL"))))


def read_dockerfile(name: str) -> Dockerfile:
    """Read images/NAME/Dockerfile."""
    lines = (IMAGES / name / "Dockerfile").read_text().splitlines()
    joined = "\n".join(line for line in lines if not line.startswith("#")).replace("\\\n", " ")
    preamble: list[Instruction] = []
    stages: list[list[Instruction]] = []
    for line in filter(None, joined.splitlines()):
        keyword, _, text = line.partition(" ")
        if keyword == "FROM":
            stages.append([])
        (stages[-1] if stages else preamble).append(Instruction(name=keyword, text=text.strip()))
    return Dockerfile(preamble=preamble, stages=stages)
