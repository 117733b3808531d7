"""A model of each family answers its golden question."""

import json
from pathlib import Path

from tests.gpu.conftest import HUGGING_FACE
from tests.server.backend.asking import ask_grpc, generated, question
from tests.serving import TINY_NEOX, prepare, served


def test_the_golden_answer_of_gpt_neox(gpu_storage: Path) -> None:
    golden = json.loads((TINY_NEOX / "golden.json").read_text())
    asked = question(golden["request_output_len"], golden["input_ids"])
    with served(gpu_storage, prepare(gpu_storage, *HUGGING_FACE, model=TINY_NEOX)) as server:
        assert generated(ask_grpc(server.grpc, asked)) == golden["output_ids"]
