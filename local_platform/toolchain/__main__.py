"""The command line: `python -m local_platform.toolchain`."""

import typer

from local_platform.command_line import run
from local_platform.toolchain import KUBERNETES_PLUGIN, build_missing, discard_scratch, prepare

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Install and build all that the platform may run where it is missing."""
    prepare(typer.echo)
    build_missing((KUBERNETES_PLUGIN,), typer.echo)
    discard_scratch(typer.echo)


if __name__ == "__main__":
    run(app)
