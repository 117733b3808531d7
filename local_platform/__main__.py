"""The command line: `python -m local_platform up|down|status|logs|doctor`."""

import signal
import subprocess
import time
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.table import Table

from local_platform import addons, doctor, environment, lifecycle, provider_plugins
from local_platform.command_line import run, show
from local_platform.errors import PlatformError
from local_platform.node import health, namespace, parts, services
from local_platform.settings import (
    API_PORT,
    DATA,
    DOCKER_SOCKET,
    HUB_PORT,
    HUB_URL,
    INGRESS_DOMAIN,
    INGRESS_PORT,
    KUBECONFIG,
    REGISTRY,
    STACKS,
    STORAGE_CLASS,
)
from local_platform.toolchain import find

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="A real Kubernetes with Knative, KServe, registry and Docker, on this machine only.",
)


def main() -> None:
    """Run the command line; SIGTERM ends it like an exception."""
    signal.signal(signal.SIGTERM, _terminate)
    run(app)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    # An exception, so that every function that runs cleans up.
    raise SystemExit(128 + signal.SIGTERM)


@app.command()
def up() -> None:
    """Bring the platform up: from nothing, from a half-finished run, or from parts that died."""
    begin = time.monotonic()

    def report(line: str) -> None:
        typer.echo(f"[{time.monotonic() - begin:5.0f} s] {line}")

    lifecycle.up(report)
    typer.echo(f"The platform is up after {time.monotonic() - begin:.0f} s.\n")
    _show_places()


def _show_places() -> None:
    table = Table("what", "where", box=None, pad_edge=False, header_style="bold")
    table.add_row("Kubernetes API", f"https://127.0.0.1:{API_PORT}, kubeconfig {KUBECONFIG}")
    hosts = f"hosts below {INGRESS_DOMAIN} as `.status.url` says"
    table.add_row("ingress", f"http://127.0.0.1:{INGRESS_PORT}, {hosts}")
    table.add_row("image registry", REGISTRY)
    table.add_row("Docker engine", f"unix://{DOCKER_SOCKET}")
    table.add_row("model hub mirror", f"http://127.0.0.1:{HUB_PORT}, in pods {HUB_URL}")
    table.add_row("storage class", f"{STORAGE_CLASS}, dynamic, ReadWriteMany")
    table.add_row("Pulumi stacks", str(STACKS))
    table.add_row("provider plugins", provider_plugins.describe())
    show(table, width=120, soft_wrap=True)
    typer.echo(
        f"\nNext:\n  . {environment.FILE}            # kubectl, pulumi and docker find the platform"
        "\n  kubectl get pods --all-namespaces"
        "\n  python -m local_platform status"
        "\n  python -m local_platform down [--purge]"
    )


@app.command()
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help=f"Delete {DATA} too: volumes, images, stacks, logs.")
    ] = False,
) -> None:
    """End the platform; only its data stay."""
    lifecycle.down(typer.echo, purge=purge)
    kept = "its data are deleted" if purge else f"its data stay in {DATA}"
    typer.echo(f"The platform is down; {kept}.")


@app.command()
def status() -> None:
    """Show every part and add-on; exit 1 when one does not work."""
    if namespace.find() is None:
        raise PlatformError("The platform is not running. Start it with `make platform`.")
    toolchain = find()
    described = parts.services(toolchain.tool)
    failures = health.failures(described)
    reasons = {service.name: failures.get(service.name, "") for service in described}
    if "kube-apiserver" not in failures:
        reasons |= addons.status(toolchain, KUBECONFIG)
    table = Table("part", "", "state", box=None, pad_edge=False, header_style="bold")
    for name, reason in reasons.items():
        table.add_row(name, "NOT READY" if reason else "ok", reason or "works")
    show(table, width=120)
    if any(reasons.values()):
        raise typer.Exit(1)


@app.command()
def logs(
    part: Annotated[str, typer.Argument(help="A part's name, as `status` shows it.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Print new lines, too.")] = False,
    lines: Annotated[int, typer.Option(min=1, help="The number of last lines.")] = 50,
) -> None:
    """Print the log of a part of the node; `kubectl logs` prints those of pods."""
    names = services.names()
    if part not in names:
        raise PlatformError(
            f"There is no part {part!r}. "
            + (f"There are {', '.join(names)}." if names else "The platform is not running.")
        )
    log = services.log_of(part)
    command = ["tail", f"--lines={lines}", *(["--follow=name"] if follow else []), str(log)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)


@app.command(name="doctor")
def examine() -> None:
    """Check this machine and change nothing; exit 1 when it lacks something."""
    findings = doctor.examine()
    table = Table("what", "", "found", "what to do", box=None, pad_edge=False, header_style="bold")
    for one in findings:
        table.add_row(one.subject, "LACKING" if one.remedy else "ok", one.found, one.remedy)
    show(table, width=160)
    if any(finding.remedy for finding in findings):
        raise typer.Exit(1)


if __name__ == "__main__":
    main()
