"""The command `ft-serving preflight`."""

import json
import os
from dataclasses import asdict
from typing import Annotated

import typer

from operations import ROOT

PASSWORD_VARIABLE = "FT_SERVING_REGISTRY_PASSWORD"  # noqa: S105 - the name of a variable


def preflight(
    stack: Annotated[str, typer.Option(help="The stack's name.")],
    context: Annotated[
        str | None, typer.Option(help="A context of the kubeconfig; by default the stack's.")
    ] = None,
    kubeconfig: Annotated[
        str | None, typer.Option(help="A kubeconfig's path; by default the stack's, or KUBECONFIG.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print all that a cluster and registries lack for a stack; change nothing.

    The registry's password is read from FT_SERVING_REGISTRY_PASSWORD; without it the login is not
    tried.
    """
    from operations.errors import OperationsError
    from operations.preflight.checks import check
    from operations.preflight.cluster import read_facts
    from operations.preflight.facts import Severity
    from operations.preflight.needs import needs_of
    from stacks.stack_file import read_stack_file

    config = read_stack_file(ROOT, stack)
    needs = needs_of(stack, config, os.environ.get(PASSWORD_VARIABLE))
    facts = read_facts(
        needs,
        kubeconfig=kubeconfig or config.cluster.kubeconfig,
        context=context or config.cluster.context,
    )
    findings = check(needs, facts)
    if as_json:
        listed = [asdict(each) for each in findings]
        typer.echo(json.dumps({"stack": stack, "kubernetes": facts.version, "findings": listed}))
    elif not findings:
        typer.echo(f"Kubernetes {facts.version} has all that stack {stack} needs.")
    else:
        for each in findings:
            typer.echo(
                f"{each.severity}: {each.what}\n"
                f"  found:  {each.found}\n"
                f"  needed: {each.needed}\n"
                f"  remedy: {each.remedy}"
            )
    errors = sum(each.severity is Severity.ERROR for each in findings)
    if errors:
        raise OperationsError(f"The cluster is not ready for stack {stack}: {errors} error(s)")
