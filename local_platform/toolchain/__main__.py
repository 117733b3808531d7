"""The command line: `python -m local_platform.toolchain`."""

import typer

from ft_serving.progress import format_bytes, format_duration
from ft_serving.terminal import standard_output
from local_platform.errors import PlatformError
from local_platform.toolchain import prepare

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """Install and build the platform's tools where they are missing, and list them."""
    try:
        toolchain = prepare(lambda line: typer.echo(line, err=True))
    except PlatformError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(1) from exc
    for name, record in toolchain.records().items():
        built = f"built with Go {record.go} in {format_duration(record.seconds)}"
        typer.echo(f"{name:14}{record.version:10}{format_bytes(record.size):>10}  {built}")
    for name, program in toolchain.tools.items():
        typer.echo(f"{name:32}{program}")


if __name__ == "__main__":
    with standard_output():
        app()
