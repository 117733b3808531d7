"""A client of a server that is not a real one."""

import json
from pathlib import Path

from tokenizers import Tokenizer

from ft_serving.client import GenerationClient
from tests.client.fake_triton import FakeTriton, Fault

TOKENIZER = Tokenizer.from_file(
    str(Path(__file__).parents[2] / "models" / "tiny-gptj" / "tokenizer.json")
)
MARY = [690, 513, 260, 331, 448, 15]


def client(triton: FakeTriton, wait_s: float = 0, timeout_s: float = 10) -> GenerationClient:
    return GenerationClient(
        triton.url, tokenizer=TOKENIZER, wait_s=wait_s, timeout_s=timeout_s, token="secret-token"
    )


def error(status: int, message: str) -> Fault:
    """A refusal as Triton gives it."""
    return Fault(status=status, body=json.dumps({"error": message}).encode())
