"""Finds the tritonserver that comes with NVIDIA's wheel `nvidia-pytriton`, and lays it out."""

import importlib.util
import shutil
import sys
import sysconfig
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

from ft_serving.core.protocol import BACKEND_NAME
from ft_serving.server.errors import ServerError

_STUB = "triton_python_backend_stub"


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """The parts of an installed Triton.

    Attributes:
        binary: The program `tritonserver`.
        python_backend: The folder of Triton's Python backend, without its stub.
        stub: The program that runs a model in Python, for this version of Python.
        libraries: Folders of the shared libraries that these need.
    """

    binary: Path
    python_backend: Path
    stub: Path
    libraries: tuple[Path, ...]


def find_installation() -> Installation:
    """Find Triton in this Python environment.

    Raises:
        ServerError: It is not there, or not for this version of Python.
    """
    # Found, not imported: the wheel's own Python package needs an older numpy.
    spec = importlib.util.find_spec("pytriton")
    if spec is None or not spec.submodule_search_locations:
        raise ServerError(
            "Triton is not installed in this environment: "
            "`pip install --no-deps nvidia-pytriton` adds it"
        )
    package = Path(spec.submodule_search_locations[0])
    triton = package / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stubs = triton / "python_backend_stubs"
    stub = stubs / version / _STUB
    if not stub.is_file():
        known = ", ".join(sorted(path.name for path in stubs.glob("*"))) or "none"
        raise ServerError(
            f"{package} has no part of Triton for Python {version}; it has them for: {known}"
        )
    return Installation(
        binary=triton / "bin" / "tritonserver",
        python_backend=triton / "backends" / "python",
        stub=stub,
        libraries=(package.parent / "nvidia_pytriton.libs", *_python_library(version)),
    )


def lay_out_backends(installation: Installation, folder: Path) -> None:
    """Fill a folder for Triton's `--backend-directory`.

    Args:
        installation: Where to take Triton's parts from.
        folder: Exists and is empty.
    """
    # Copies, because Triton refuses a library that a link leads out of the folder to.
    python = folder / "python"
    shutil.copytree(installation.python_backend, python)
    shutil.copy(installation.stub, python)
    backend = folder / BACKEND_NAME
    backend.mkdir()
    (backend / "model.py").symlink_to(Path(__file__).parent / "backend" / "model.py")


def _python_library(version: str) -> tuple[Path, ...]:
    """Return the folder of the Python library that the stub links, unless the loader knows it."""
    name = f"libpython{version}.so.1.0"
    folder = Path(sysconfig.get_config_var("LIBDIR") or "")
    if (folder / name).is_file():
        return (folder,)
    if find_library(f"python{version}"):
        return ()
    raise ServerError(
        f"{name}, which Triton runs the model with, is neither in {folder} nor known to the "
        f"system: install the package libpython{version}, or a Python with a shared library"
    )
