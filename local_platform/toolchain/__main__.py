"""The command line: `python -m local_platform.toolchain`."""

from datetime import timedelta
from itertools import chain

import typer
from rich.filesize import decimal

from local_platform.command_line import run
from local_platform.toolchain import KUBERNETES_PLUGIN, build_missing, discard_scratch, prepare

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Install and build all that the platform may run where it is missing, and list it."""
    built = (prepare(_say), build_missing((KUBERNETES_PLUGIN,), _say))
    discard_scratch(_say)
    for name, record in chain(*(toolchain.records().items() for toolchain in built)):
        took = f"built with Go {record.go} in {timedelta(seconds=round(record.seconds))}"
        typer.echo(f"{name:18}{record.version:36}{decimal(record.size):>10}  {took}")
    for name, program in chain(*(toolchain.tools.items() for toolchain in built)):
        typer.echo(f"{name:32}{program}")


def _say(line: str) -> None:
    typer.echo(line, err=True)


if __name__ == "__main__":
    run(app)
