"""The command `ft-serving preview`."""

from enum import StrEnum
from typing import Annotated

import typer

from operations import ROOT
from operations.errors import OperationsError


class Format(StrEnum):
    """A format of a summary."""

    MARKDOWN = "markdown"
    TEXT = "text"
    JSON = "json"


def preview(
    stack: Annotated[
        list[str] | None, typer.Option(help="A stack; repeated, several. By default all.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="What to compare with: a commit, or the folder of a checkout.")
    ] = "HEAD",
    live: Annotated[
        bool, typer.Option("--live", help="Compare with what is deployed, by `pulumi preview`.")
    ] = False,
    output: Annotated[
        Format, typer.Option("--format", help="markdown is for a comment of a pull request.")
    ] = Format.TEXT,
    fail_on_warning: Annotated[
        bool, typer.Option("--fail-on-warning", help="Exit with 1 where data or service is lost.")
    ] = False,
) -> None:
    """Show what the checkout changes in stacks: resources, GPUs and cost, and what is dangerous."""
    from operations.preview.formats import as_json, markdown, text
    from operations.preview.summary import summarise_live, summarise_rendered

    if live and base != "HEAD":
        raise typer.BadParameter("works only without --live", param_hint="--base")
    stacks = stack or []
    summary = summarise_live(ROOT, stacks) if live else summarise_rendered(ROOT, stacks, base)
    write = {Format.MARKDOWN: markdown, Format.TEXT: text, Format.JSON: as_json}[output]
    typer.echo(write(summary), nl=False)
    if refused := [it.stack for it in summary.stacks if it.refused]:
        raise OperationsError(
            f"Stacks cannot be deployed: {', '.join(refused)}. The summary says why"
        )
    warned = [it.stack for it in summary.stacks if it.warnings]
    if warned and fail_on_warning:
        raise OperationsError(f"There are warnings about {', '.join(warned)}. The summary has them")
