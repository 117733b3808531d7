"""The example `docs/examples/token-proxy.yaml`, filled in."""

import re
from typing import Any

import yaml

from tests.stacks.documents import ROOT

_FILE = ROOT / "docs" / "examples" / "token-proxy.yaml"


def manifests(*, namespace: str, image: str, token: str) -> list[dict[str, Any]]:
    """The example's objects, with what its first lines say to replace."""
    text = re.sub(r"\bft-serving\b(?!-)", namespace, _FILE.read_text())
    text = text.replace("IMAGE", image).replace("TOKEN", token)
    return list(yaml.safe_load_all(text))
