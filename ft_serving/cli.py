"""The `ft-serving` command.

Exit codes: 0 done, 1 an error with a message, 2 wrong usage, 130 and 143 interrupted by Ctrl-C and
by SIGTERM.
"""

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer

from ft_serving.commands.benchmark import benchmark
from ft_serving.commands.checkout import add_checkout_commands
from ft_serving.commands.diagnose import diagnose
from ft_serving.commands.gate import gate
from ft_serving.commands.gate_job import gate_job
from ft_serving.commands.generate import generate
from ft_serving.commands.serve import serve
from ft_serving.commands.weights import app as weights
from ft_serving.errors import FtServingError
from ft_serving.terminal import standard_output

# In pyproject.toml; by the command that needs them.
_EXTRAS = {
    "weights": "weights",
    "serve": "server",
    "generate": "client",
    "benchmark": "client",
    "gate": "client,cluster",
    "gate-job": "cluster",
    "diagnose": "cluster",
    "preflight": "cluster,program",
    "preview": "program",
    "policy": "program",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Serve GPT-J with FasterTransformer on Triton.",
)
app.add_typer(weights, name="weights")
app.command()(serve)
app.command()(generate)
app.command()(benchmark)
app.command()(gate)
app.command()(gate_job)
app.command()(diagnose)
add_checkout_commands(app)


def main() -> None:
    """Run the command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    with standard_output():
        _run()


def _run() -> None:
    try:
        app()
    except FtServingError as exc:
        _fail(str(exc), 1)
    except ModuleNotFoundError as exc:
        if (exc.name or "").startswith("ft_serving"):
            raise
        _fail(_not_installed(exc.name or ""), 1)


def _not_installed(package: str) -> str:
    command = next((each for each in sys.argv[1:] if not each.startswith("-")), "")
    extras = "plots" if package == "matplotlib" else _EXTRAS.get(command, "")
    return (
        f"{package} is not installed, which `ft-serving {command}` needs. In ft-serving's checkout "
        f"run: pip install '.[{extras}]'"
    )


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that what is under way cleans up behind itself.
    raise SystemExit(128 + signal.SIGTERM)


def _fail(message: str, code: int) -> NoReturn:
    sys.stderr.write(f"Error: {message}\n")
    raise SystemExit(code)
