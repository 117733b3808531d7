"""fp8: vLLM's own quantisation of the fp16 release answers the golden question."""

from pathlib import Path

import pytest

from tests.gpu.conftest import HUGGING_FACE
from tests.server.backend.asking import ask_grpc, generated, question
from tests.serving import GOLDEN, prepare, served


def test_the_golden_answer_in_fp8(gpu_storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_SERVING_PRECISION", "fp8")
    release = prepare(gpu_storage, *HUGGING_FACE, "--dtype", "fp16")
    with served(gpu_storage, release) as server:
        assert generated(ask_grpc(server.grpc, question())) == GOLDEN["output_ids"]
