"""The way in which README installs without a cluster, and the message where a part is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.serving import TINY_GPTJ, free_ports

ROOT = Path(__file__).parents[1]
INSTALL = re.compile(r"^\$ python3 (-m venv \.venv && .*pip install.*)$", re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_readmes_line_installs_what_the_lines_below_it_need(tmp_path: Path) -> None:
    line = INSTALL.search((ROOT / "README.md").read_text())
    assert line
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # To compile all modules takes longer than to install them.
    environment["PIP_NO_COMPILE"] = "1"
    venv = tmp_path / "venv"
    command = f"{sys.executable} {line[1].replace('.venv', str(venv))}"
    subprocess.run(["sh", "-ec", command], cwd=ROOT, env=environment, check=True)

    ft_serving = str(venv / "bin" / "ft-serving")
    storage = str(tmp_path / "volume")
    prepare = ("weights", "prepare", "--repository", str(TINY_GPTJ), "--dtype", "fp32")
    subprocess.run([ft_serving, *prepare, "--storage", storage], env=environment, check=True)
    http, grpc, metrics = map(str, free_ports(3))
    ports = ("--http-port", http, "--grpc-port", grpc, "--metrics-port", metrics)
    with psutil.Popen([ft_serving, "serve", "--storage", storage, *ports], env=environment) as run:
        try:
            url = f"http://127.0.0.1:{http}"
            tokenizer = str(TINY_GPTJ / "tokenizer.json")
            asked = ("generate", "--url", url, "--tokenizer", tokenizer, "--wait", "120")
            prompt = ("--prompt", "Mary has a little lamb.", "--output-length", "8")
            done = subprocess.run(
                [ft_serving, *asked, *prompt],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
        finally:
            run.terminate()
    assert done.stdout == "Output: Mary has a little lamb. Its fleece is white as snow,\n"


@pytest.mark.parametrize(
    ("package", "arguments", "extras"),
    [
        ("tokenizers", ("generate", "--url", "h:1", "--prompt", "a"), "client"),
        ("kubernetes", ("gate-job", "--job", "a"), "cluster"),
    ],
)
def test_a_missing_package_is_told_with_its_extra(
    package: str, arguments: tuple[str, ...], extras: str
) -> None:
    code = f"import sys; sys.modules[{package!r}] = None\nfrom ft_serving.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"Error: {package} is not installed, which `ft-serving {arguments[0]}` needs. In "
        f"ft-serving's checkout run: pip install '.[{extras}]'\n"
    )
