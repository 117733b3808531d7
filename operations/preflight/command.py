"""`ft-serving preflight`."""

import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from operations import ROOT

if TYPE_CHECKING:
    from operations.preflight.facts import Facts, PreflightFinding

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
    """Tell all that a cluster and registries lack for a stack; changes nothing.

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
    typer.echo(_json(stack, facts, findings) if as_json else _text(stack, facts, findings))
    errors = sum(each.severity is Severity.ERROR for each in findings)
    if errors:
        raise OperationsError(f"The cluster is not ready for stack {stack}: {errors} error(s)")


def _json(stack: str, facts: "Facts", findings: "list[PreflightFinding]") -> str:
    document = {
        "stack": stack,
        "kubernetes": facts.version,
        "findings": [asdict(each) for each in findings],
    }
    return json.dumps(document)


def _text(stack: str, facts: "Facts", findings: "list[PreflightFinding]") -> str:
    if not findings:
        return f"Kubernetes {facts.version} has all that stack {stack} needs."
    blocks = (
        f"{each.severity}: {each.what}\n"
        f"  found:  {each.found}\n"
        f"  needed: {each.needed}\n"
        f"  remedy: {each.remedy}"
        for each in findings
    )
    return "\n".join(blocks)
