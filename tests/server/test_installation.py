"""Triton is found where pip has put it, and laid out as it wants it."""

import importlib.util
import sys
import sysconfig
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace

import pytest

from ft_serving.server import installation
from ft_serving.server.backend import batch
from ft_serving.server.errors import ServerError
from ft_serving.server.installation import find_installation, lay_out_backends


def test_the_installed_triton_is_found_without_importing_its_package() -> None:
    found = find_installation()
    assert found.binary.is_file()
    assert found.stub.is_file()
    assert (found.python_backend / "libtriton_python.so").is_file()
    assert all(folder.is_dir() for folder in found.libraries)
    assert "pytriton" not in sys.modules


def test_backends_are_laid_out_for_triton(tmp_path: Path) -> None:
    lay_out_backends(find_installation(), tmp_path)
    python = tmp_path / "python"
    for name in ("libtriton_python.so", "triton_python_backend_stub"):
        assert (python / name).is_file()
        assert not (python / name).is_symlink(), "Triton refuses a library that leads elsewhere"
    model = tmp_path / "fastertransformer" / "model.py"
    assert model.resolve() == Path(batch.__file__).with_name("model.py").resolve()


def test_a_missing_triton_is_named_with_what_adds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ServerError, match="pip install --no-deps nvidia-pytriton"):
        find_installation()


def test_another_version_of_python_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("3.8", "3.11"):
        (tmp_path / "tritonserver" / "python_backend_stubs" / version).mkdir(parents=True)
    spec = ModuleSpec("pytriton", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(
        installation, "sys", SimpleNamespace(version_info=SimpleNamespace(major=3, minor=99))
    )
    with pytest.raises(ServerError, match=r"for Python 3\.99; it has them for: 3\.11, 3\.8"):
        find_installation()


def test_a_python_without_a_shared_library_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: "/nowhere")
    monkeypatch.setattr(installation, "find_library", lambda name: None)
    with pytest.raises(ServerError) as caught:
        find_installation()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"libpython{version}.so.1.0" in str(caught.value)
    assert f"install the package libpython{version}" in str(caught.value)


def test_a_library_that_the_system_knows_needs_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_config_var", lambda name: None)
    monkeypatch.setattr(installation, "find_library", lambda name: "libpython3.so")
    assert [folder.name for folder in find_installation().libraries] == ["nvidia_pytriton.libs"]
