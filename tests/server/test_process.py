"""Triton is found, laid out, given free ports, and its words are told to the user."""

import importlib.util
import io
import socket
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from ft_serving.server import installation
from ft_serving.server.backend import batch
from ft_serving.server.errors import ServerError
from ft_serving.server.installation import find_installation, lay_out_backends
from ft_serving.server.output import ServerOutput
from ft_serving.server.process import Ports
from tests.serving import free_ports

DAMAGE = (
    '/vol/tiny "x" is damaged:\n'
    "  fastertransformer/1/model.wte.bin: has 524284 bytes, must have 524288"
)
# Lines of Triton 2.51.
NO_GPU = 'E1123 13:42:31.689 18574 server.cc:241] "CudaDriverHelper has not been initialized."'
LOAD = "E1123 14:00:59.258155 15647 model_lifecycle.cc:642] \"failed to load 'fastertransformer' "
DAMAGED = (
    LOAD + r"version 1: Internal: TritonModelException: /vol/tiny \"x\" is damaged:\n"
    r"  fastertransformer/1/model.wte.bin: has 524284 bytes, must have 524288\n\nAt:\n"
    r'  /backends/fastertransformer/model.py(53): initialize\n"'
)
DEFECT = LOAD + r'version 1: Internal: ModuleNotFoundError: No module named \"x\"\n\nAt:\n  x(3)\n"'
GAVE_UP = "error: creating server: Internal - failed to load all models"
PORT = (
    'E1123 14:01:01.889723 15707 main.cc:257] "failed to start HTTP service: Unavailable - '
    "Socket '127.0.0.1:18000' already in use \""
)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([NO_GPU, DAMAGED, GAVE_UP], DAMAGE),
        # A defect of the backend keeps the name of its class.
        ([NO_GPU, DEFECT], 'ModuleNotFoundError: No module named "x"'),
        (
            [NO_GPU, "I1123 13:43:21.3 1 x.cc:1] fine", PORT],
            "failed to start HTTP service: Unavailable - Socket '127.0.0.1:18000' already in use ",
        ),
        ([GAVE_UP], "creating server: Internal - failed to load all models"),
        (["terminate called", "Aborted"], "terminate called\nAborted"),
        (['E1123 13:42:31.6 1 x.cc:1] "not \\quoted as JSON"'], '"not \\quoted as JSON"'),
        ([NO_GPU, "Signal (15) received."], "it gave no reason"),
        ([], "it gave no reason"),
    ],
)
def test_the_reason_of_a_failure_is_told(lines: Sequence[str], told: str) -> None:
    text = "".join(line + "\n" for line in lines)
    assert ServerOutput(io.StringIO(text), verbose=False).failure() == told


@pytest.mark.parametrize("verbose", [False, True])
def test_noise_is_passed_on_only_to_who_wants_everything(
    verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ServerOutput(io.StringIO(NO_GPU + "\n"), verbose=verbose).failure()
    assert capsys.readouterr().err == (NO_GPU + "\n" if verbose else "")


def test_taken_ports_are_all_named_with_their_options() -> None:
    free, other = free_ports(2)
    Ports(http=free, grpc=other, metrics=free_ports(1)[0]).check()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError) as caught:
            Ports(http=port, grpc=free, metrics=port).check()
    assert str(caught.value) == (
        "cannot listen on a port:\n"
        f"  {port}: Address already in use; name another with --http-port\n"
        f"  {port}: Address already in use; name another with --metrics-port"
    )
    with pytest.raises(ServerError, match=f"{free}: Address already in use.*--grpc-port"):
        Ports(http=free, grpc=free, metrics=other).check()


def test_the_installed_triton_is_laid_out_without_importing_its_package(tmp_path: Path) -> None:
    found = find_installation()
    assert found.binary.is_file()
    assert all(folder.is_dir() for folder in found.libraries)
    assert "pytriton" not in sys.modules, "it needs an older numpy"
    lay_out_backends(found, tmp_path)
    for name in ("libtriton_python.so", "triton_python_backend_stub"):
        part = tmp_path / "python" / name
        assert part.is_file()
        assert not part.is_symlink(), "Triton refuses a library that leads elsewhere"
    model = tmp_path / "fastertransformer" / "model.py"
    assert model.resolve() == Path(batch.__file__).with_name("model.py").resolve()


def test_a_missing_triton_is_named_with_what_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerError, match="pip install --no-deps nvidia-pytriton"):
        find_installation()


def test_a_python_that_triton_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "/nowhere")
    monkeypatch.setattr(installation, "find_library", lambda name: None)
    with pytest.raises(ServerError, match=r"libpython3\.\d+\.so.*install the package libpython3"):
        find_installation()
    monkeypatch.setattr(installation, "find_library", lambda name: "libpython3.so")
    assert [folder.name for folder in find_installation().libraries] == ["nvidia_pytriton.libs"]
    python_99 = SimpleNamespace(version_info=SimpleNamespace(major=3, minor=99))
    monkeypatch.setattr(installation, "sys", python_99)
    with pytest.raises(ServerError, match=r"no part of Triton for Python 3\.99; it has them for"):
        find_installation()
