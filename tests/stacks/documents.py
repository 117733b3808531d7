"""Configurations to start from, and ways to change them."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacks.config import StackConfig
from stacks.errors import ConfigError
from stacks.parse import parse_config

ROOT = Path(__file__).parents[2]
SHIPPED = ("coreweave", "dev", "prod", "staging")
PROJECT = "ft-serving:"

Document = dict[str, Any]

COMMIT = "47e169305d2e8376be1d31e765533382721b2cc1"
DIGEST = f"host.example/name@sha256:{'0' * 64}"

GPU: Document = {
    "model": {"repository": "EleutherAI/gpt-j-6b", "revision": COMMIT},
    "gpu": {"type": "RTX_A5000"},
    "serving": {"batch": 4, "engine": "fastertransformer"},
    "image": {"registry": "registry.example.com", "server": {"existing": DIGEST}},
    "storage": {"size": "100Gi"},
}
"""GPT-J 6B on one GPU, by FasterTransformer."""

VLLM: Document = {**GPU, "serving": {"batch": 4}}
"""The same by the engine that a GPU has by default."""

CPU: Document = {
    "model": {"repository": "tiny-gptj", "revision": COMMIT, "dtype": "fp32"},
    "serving": {"inputLength": 256},
    "image": {"registry": "localhost:5000"},
    "storage": {"size": "1Gi"},
}
"""tiny-gptj on the CPU."""

OTHER_MODEL: Document = {
    "hiddenSize": 1024,
    "layers": 8,
    "heads": 16,
    "vocabularySize": 1000,
    "innerSize": 4096,
    "maxSequenceLength": 2048,
}

MISSING = object()
"""Stands for a setting to take out."""


def shipped(stack: str) -> Document:
    """The sections of a stack that comes with the project."""
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    config = yaml.safe_load(text)["config"]
    return {name.removeprefix(PROJECT): value for name, value in config.items()}


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> Document:
    """A copy with other values at paths such as `gpu.type`."""
    result = copy.deepcopy(dict(document))
    for path, value in changes.items():
        *parents, name = path.split(".")
        place = result
        for parent in parents:
            place = place.setdefault(parent, {})
        if value is MISSING:
            del place[name]
        else:
            place[name] = value
    return result


def config(
    document: Mapping[str, Any], changes: Mapping[str, Any] | None = None, *secrets: str
) -> StackConfig:
    """The parsed configuration."""
    return parse_config(changed(document, changes or {}), frozenset(secrets))


def problems(document: Mapping[str, Any], changes: Mapping[str, Any], *secrets: str) -> list[str]:
    """The lines of the error that a configuration is refused with."""
    with pytest.raises(ConfigError) as caught:
        config(document, changes, *secrets)
    return str(caught.value).splitlines()
