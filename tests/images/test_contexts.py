"""The build contexts: little, all that an image needs, and nothing of this machine."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path, PurePosixPath

import pytest

from components import build_context
from tests.images.dockerfile import IMAGES, NAMES, ROOT

every_image = pytest.mark.parametrize("name", NAMES)

# Stands in the way of every module whose package the image does not install.
RUN = """
import json, sys
folder, absent = sys.argv[1:3]
sys.argv[1:3] = []
sys.path.insert(0, folder)
sys.modules.update(dict.fromkeys(json.loads(absent)))
"""


def context_files(name: str) -> list[PurePosixPath]:
    """Return the files that an image is built from, relative to the repository's root."""
    return build_context.context_files(ROOT, IMAGES / name / "Dockerfile")


@every_image
def test_a_context_is_small_and_has_nothing_but_what_is_installed(name: str) -> None:
    files = context_files(name)
    assert files
    [most] = re.findall(r"at most (\d+) files", (ROOT / "docs" / "images.md").read_text())
    assert len(files) <= int(most), "docs/images.md says so"
    assert sum((ROOT / path).stat().st_size for path in files) < 1_000_000
    assert {path.parts[0] for path in files} <= {"LICENSE", "ft_serving", "images", "requirements"}
    assert [
        path for path in files if path.suffix not in {".py", ".typed", ".sh", ".lock", ""}
    ] == []


@every_image
def test_what_a_dockerfile_runs_and_locks_are_in_its_context(name: str) -> None:
    files = {str(path) for path in context_files(name)}
    text = (ROOT / "images" / name / "Dockerfile").read_text()
    for script in re.findall(r"/scripts/(\S+\.sh)", text):
        assert f"images/{script}" in files
    for arguments in re.findall(r"install-packages\.sh ([\w ]+\w)", text):
        assert {f"requirements/{lock}.lock" for lock in arguments.split()} <= files


ROOMS = {
    "client": {"client", "cluster", "core"},
    "openai": {"client", "core", "openai"},
    "server": set(),
    "server-cpu": {"core", "server"},
    "server-vllm": {"core", "server"},
    "weights": {"core", "weights"},
}


@every_image
def test_an_image_has_the_rooms_that_run_in_it_and_no_other(name: str) -> None:
    packages = {
        path.parts[1]
        for path in context_files(name)
        if path.parts[0] == "ft_serving" and len(path.parts) > 2
    }
    assert packages == ROOMS[name]


def test_the_weights_image_makes_a_release_with_its_own_files_and_packages(tmp_path: Path) -> None:
    output = _run(
        "weights",
        "weights",
        tmp_path,
        "from ft_serving.cli import main; main()",
        *("weights", "prepare", "--repository", str(ROOT / "models" / "tiny-gptj")),
        *("--storage", str(tmp_path / "volume")),
    )
    assert Path(output.strip(), "fastertransformer", "config.pbtxt").is_file()


def test_the_client_image_has_all_that_generate_and_the_gate_import(tmp_path: Path) -> None:
    code = (
        "import ft_serving.client, ft_serving.cluster.gate.readiness; "
        "from ft_serving.cluster.diagnosis.namespace import ClusterNamespace; "
        "from ft_serving.cli import main; main()"
    )
    assert "--prompt" in _run("client", "client", tmp_path, code, "generate", "--help")


def test_the_api_image_has_all_that_its_server_imports(tmp_path: Path) -> None:
    code = "import ft_serving.openai.serve; from ft_serving.cli import main; main()"
    assert "--url" in _run("openai", "openai", tmp_path, code, "openai", "--help")


def test_the_cpu_server_image_runs_the_backend_with_its_own_files_and_packages(
    tmp_path: Path,
) -> None:
    # All that backend/model.py imports, but for what is only there inside of Triton.
    code = (
        "from ft_serving.server.backend import batch, config, release; print(release.open_engine)"
    )
    assert "open_engine" in _run("server-cpu", "server", tmp_path, code)


def test_the_gpu_server_image_ends_in_one_line_where_there_are_too_few_gpus(tmp_path: Path) -> None:
    script = str(IMAGES / "server-vllm" / "check_gpus.py")
    # No machine has as many.
    code = (
        "import os, runpy; os.environ['FT_SERVING_TENSOR_PARALLEL'] = '9999'\n"
        f"try: runpy.run_path({script!r}, run_name='__main__')\n"
        "except SystemExit as exc: print(exc)"
    )
    output = _run("server-vllm", "server", tmp_path, code, "/bin/echo", "Triton")
    assert re.match("error: this engine needs 9999 GPUs, and the machine shows .*\n$", output)


def _run(name: str, lock: str, folder: Path, code: str, *arguments: str) -> str:
    """Run code with only an image's own files and packages, and return what it prints."""
    context = folder / "context"
    for path in context_files(name):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, context / path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN + code, str(context), _absent(lock), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _absent(lock: str) -> str:
    """Return the modules that are installed here and not in an image, as JSON."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    locked = set(re.findall(r"^([\w-]+)==", text, re.MULTILINE))
    absent = {
        module
        for module, distributions in packages_distributions().items()
        if not locked & {re.sub(r"[-_.]+", "-", name).lower() for name in distributions}
    }
    return json.dumps(sorted(absent - {"ft_serving"}))
