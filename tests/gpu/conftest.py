"""Servers with tiny-gptj in fp32 on GPUs, and the CPU's engine as their oracle."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.server.engine.numpy_engine import NumpyEngine
from tests.serving import Served, prepare, served

HUGGING_FACE = ("--format", "huggingface")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies here: it runs where there is a GPU."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("gpu")
            item.add_marker(pytest.mark.timeout(900))


@pytest.fixture(scope="session", autouse=True)
def fp32() -> Iterator[None]:
    """Compute as exactly as the oracle does, on as many GPUs as FT_SERVING_TENSOR_PARALLEL says."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FT_SERVING_PRECISION", "fp32")
        patch.setenv("FT_SERVING_CACHE_BYTES", str(4 << 30))
        patch.setenv("TRITON_F32_DEFAULT", "ieee")
        yield


@pytest.fixture(scope="session")
def gpu_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="session")
def oracle(gpu_storage: Path) -> NumpyEngine:
    release = prepare(gpu_storage)
    folder = gpu_storage / "triton-model-store" / release / "fastertransformer" / "1"
    return NumpyEngine.open(folder, 1)


@pytest.fixture(scope="session")
def plain(gpu_storage: Path) -> Iterator[Served]:
    with served(gpu_storage, prepare(gpu_storage, *HUGGING_FACE)) as server:
        yield server


@pytest.fixture(scope="session")
def streaming(gpu_storage: Path) -> Iterator[Served]:
    with served(gpu_storage, prepare(gpu_storage, *HUGGING_FACE, "--streaming")) as server:
        yield server


def gpu_memory_in_use() -> int:
    """MiB that processes hold on the fullest of the GPUs that the tests may use."""
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command.append(f"--id={visible}")
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    return max(map(int, found.stdout.split()))
