"""`ft-serving diagnose`."""

import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ft_serving.cluster.commands.gate import ContextOption

if TYPE_CHECKING:
    from ft_serving.cluster.diagnosis.report import Report

NAMESPACE = "ft-serving"
INFERENCE_SERVICE = "fastertransformer-triton"
"""What the program calls them where a stack says nothing else."""

FAILED = 1
ON_ITS_WAY = 3


def diagnose(
    namespace: Annotated[str, typer.Option(help="The stack's cluster.namespace.")] = NAMESPACE,
    inference_service: Annotated[
        str, typer.Option(help="The InferenceService's name.")
    ] = INFERENCE_SERVICE,
    context: ContextOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Print how a deployment stands and the root cause if it failed.

    Exit codes: 0 ready, scaled to zero or not; 1 failed, or the cluster cannot be asked; 3 on its
    way.
    """
    from rich.console import Console

    from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
    from ft_serving.cluster.diagnosis.report import Standing, report
    from ft_serving.cluster.diagnosis.report.screen import show

    cluster = ClusterNamespace(context=context, namespace=namespace)
    found = report(cluster.overview(inference_service), datetime.now(UTC))
    if as_json:
        typer.echo(_json(found))
    else:
        show(found, Console())
    if found.standing is Standing.FAILED:
        raise typer.Exit(FAILED)
    if found.standing is Standing.ON_ITS_WAY:
        raise typer.Exit(ON_ITS_WAY)


def _json(report: "Report") -> str:
    return json.dumps(dataclasses.asdict(report), default=_text)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    raise TypeError(f"{value!r} has no form in JSON")
