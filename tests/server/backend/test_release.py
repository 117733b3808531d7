"""A release on a volume is opened by the engine of its layout, or refused."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ft_serving.core.errors import ReleaseError
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.manifest import MANIFEST_PATH
from ft_serving.core.protocol import TensorType
from ft_serving.core.storage import Storage
from ft_serving.server.backend.config import BackendConfig
from ft_serving.server.backend.release import open_engine
from ft_serving.server.errors import RequestError, ServerError
from tests.server.engine.scripted import request
from tests.serving import prepare

WTE = "fastertransformer/1/model.wte.bin"
PBTXT = "fastertransformer/config.pbtxt"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("storage")
    return Storage(root).release(prepare(root, "--tensor-parallel", "2"))


@pytest.fixture
def release(prepared: Path, tmp_path: Path) -> Path:
    """A copy, elsewhere, that a test may damage."""
    return Path(shutil.copytree(prepared, tmp_path / prepared.name))


def backend_config(release: Path, tensor_parallel: int = 2) -> BackendConfig:
    return BackendConfig(
        checkpoint=release / "fastertransformer" / "1",
        tensor_parallel=tensor_parallel,
        streaming=False,
        output_types=dict.fromkeys(("output_ids", "sequence_length"), TensorType.UINT32),
        limits=LengthLimits(context_length=512, input_length=16),
    )


def test_a_valid_release_opens_wherever_it_is_mounted(release: Path) -> None:
    engine = open_engine(backend_config(release), print)
    with pytest.raises(RequestError, match="longer than the 16 that this service takes"):
        engine.plan(request([[5] * 17], 1))
    engine.close()


def alter(path: Path) -> None:
    with path.open("r+b") as file:
        first = file.read(1)[0]
        file.seek(0)
        file.write(bytes([first ^ 1]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda release: alter(release / WTE), f"{WTE}: has sha256 "),
        (lambda release: alter(release / PBTXT), f"{PBTXT}: has sha256 "),
        (
            lambda release: (release / WTE).write_bytes(b"short"),
            f"{WTE}: has 5 bytes, must have 524288",
        ),
        (lambda release: (release / WTE).unlink(), f"{WTE}: cannot be read: No such file"),
        (lambda release: (release / MANIFEST_PATH).unlink(), "has no fastertransformer/1/manifest"),
    ],
    ids=["an altered byte", "an altered configuration", "a short file", "no file", "no manifest"],
)
def test_a_damaged_release_is_refused_by_file(
    release: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(release)
    with pytest.raises(ReleaseError) as caught:
        open_engine(backend_config(release), print)
    assert message in str(caught.value)


def test_the_tensor_parallel_size_must_be_the_releases(release: Path) -> None:
    with pytest.raises(ServerError) as caught:
        open_engine(backend_config(release, tensor_parallel=1), print)
    assert "tensor_para_size: must be 2, the size that release" in str(caught.value), (
        "FasterTransformer would start with weights that it never read"
    )


def test_the_backend_imports_nothing_that_its_image_lacks() -> None:
    lacking = ("filelock", "huggingface_hub", "urllib3", "tokenizers", "tritonclient", "pytriton")
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({lacking})); "
        "import ft_serving.server.backend.batch, ft_serving.server.backend.release, "
        "ft_serving.server.backend.watchdog"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_release_for_vllm_is_refused_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_serving.server.vllm.gpu._gpus", lambda: 1)
    monkeypatch.setenv("FT_SERVING_TENSOR_PARALLEL", "2")
    release = Storage(tmp_path).release(prepare(tmp_path, "--format", "huggingface"))
    with pytest.raises(ServerError, match="needs 2 GPUs, and the machine shows 1: give the"):
        open_engine(backend_config(release), print)
