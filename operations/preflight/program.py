"""The check before Pulumi changes anything."""

import pulumi
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import get_monitor

from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from operations.preflight.checks import check
from operations.preflight.cluster import read_facts
from operations.preflight.facts import PreflightFinding, Severity
from operations.preflight.needs import needs_of
from stacks.load import Stack
from stacks.sections import Preflight


def preflight(stack: Stack) -> None:
    """Check the cluster that a stack is to be deployed to.

    Warnings are Pulumi's. A recording of the program has no cluster, so nothing is checked there;
    a preview goes on where no cluster answers, as in CI without credentials, and says so.

    Raises:
        pulumi.RunError: The cluster lacks something, all of it in the message; or in an `up`, none
            answers.
    """
    # Mocks are an object in the process; a real engine is a stub of gRPC.
    if isinstance(get_monitor(), MockMonitor):
        return
    cluster = stack.config.cluster
    needs = needs_of(stack.name, stack.config, stack.plain_registry_password())
    try:
        facts = read_facts(needs, kubeconfig=cluster.kubeconfig, context=cluster.context)
    except ClusterUnavailableError as exc:
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(str(exc)) from exc
        pulumi.warn(f"The cluster was not checked. {exc}")
        return
    except ClusterRefusalError as exc:
        raise pulumi.RunError(str(exc)) from exc
    findings = check(needs, facts)
    errors = [each for each in findings if each.severity is Severity.ERROR]
    for each in findings:
        if each not in errors or cluster.preflight is Preflight.WARN:
            pulumi.warn(str(each))
    if errors and cluster.preflight is Preflight.STOP:
        raise pulumi.RunError(_refusal(errors))


def _refusal(errors: list[PreflightFinding]) -> str:
    lines = "\n".join(map(str, errors))
    return f"The cluster is not ready, and nothing was changed (docs/preflight.md):\n{lines}"
