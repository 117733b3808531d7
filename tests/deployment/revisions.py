"""Models on the platform's hub that come in revisions, and whose answers tell them apart."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file, save_file

from local_platform.hub.repository import Catalogue
from local_platform.node.parts import MODELS
from tests.stacks.documents import Document

_BASE = MODELS / "tiny-gptj"
_BIAS = "lm_head.bias"
_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json")

LENGTH = 8
"""Tokens of the answers."""


@dataclass(frozen=True, kw_only=True)
class Revisions:
    """A model of which each revision answers with one token again and again.

    The hub mirror serves what its folder holds: an earlier revision is not there any more.

    Attributes:
        folder: Where the hub finds it.
    """

    folder: Path

    def publish(self, answer: tuple[int, ...]) -> str:
        """Make the revision with an answer the only one there is; return its commit."""
        weights = load_file(_BASE / "model.safetensors")
        bias = weights[_BIAS].copy()
        bias[answer[0]] = 1e4
        save_file({**weights, _BIAS: bias}, self.folder / "model.safetensors")
        return Catalogue(MODELS).snapshot(self.folder.name).commit

    def settings(self, commit: str, answer: tuple[int, ...]) -> Document:
        """Return the changes of a stack's settings for a revision and its answer."""
        base = Catalogue(MODELS).snapshot(_BASE.name).commit
        return {
            "model": {
                "repository": self.folder.name,
                "revision": commit,
                "dtype": "fp32",
                "dimensions": {
                    "hiddenSize": 128,
                    "layers": 4,
                    "heads": 4,
                    "vocabularySize": 1024,
                    "innerSize": 512,
                    "maxSequenceLength": 512,
                },
            },
            "tokenizer": {"repository": _BASE.name, "revision": base},
            "golden": {
                "prompt": "Mary has a little lamb.",
                "outputLength": LENGTH,
                "expectedTokenIds": list(answer),
            },
        }


@contextmanager
def revisions() -> Iterator[Revisions]:
    """Yield a model of which no revision is published yet; it leaves the hub with the context."""
    folder = MODELS / f"test-{secrets.token_hex(4)}"
    folder.mkdir()
    try:
        for name in _FILES:
            shutil.copyfile(_BASE / name, folder / name)
        yield Revisions(folder=folder)
    finally:
        shutil.rmtree(folder)
