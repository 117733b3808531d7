"""A root with two models, and a mirror that serves it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local_platform.hub.server import HubServer

HELLO_SHA256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
HELLO_BLOB = "ce013625030ba8dba906f756967f9e9ca394464a"
FILES = {
    "tiny-gptj/config.json": b"{}\n",
    "tiny-gptj/model.safetensors": bytes(range(256)) * 4,
    "tiny-gptj/onnx/model.bin": b"hello\n",
    "tiny-gptj/onnx/notes/empty.txt": b"",
    "tiny-gptj/vocab.txt": b"hello\n",
    "EleutherAI/gpt-j-6b/config.json": b'{"model_type": "gptj"}\n',
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "models"
    for path, content in FILES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return root


@pytest.fixture
def hub(root: Path) -> Iterator[HubServer]:
    with HubServer(root) as hub:
        yield hub
