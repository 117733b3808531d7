"""The check that the program makes before Pulumi changes anything."""

import pulumi
from pulumi.runtime.mocks import MockMonitor
from pulumi.runtime.settings import get_monitor

from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from operations.preflight.checks import check
from operations.preflight.cluster import read_facts
from operations.preflight.facts import Severity
from operations.preflight.needs import needs_of
from stacks.load import Stack
from stacks.sections import Preflight


def preflight(stack: Stack) -> None:
    """Check the cluster that a stack is to be deployed to; warnings become Pulumi's.

    A recording of the program has no cluster, so nothing is checked there. A preview goes on where
    no cluster answers, as in CI without credentials, and says so.

    Raises:
        pulumi.RunError: The cluster lacks something, and the message has all of it; or in an `up`,
            no cluster answers.
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
    errors = []
    for each in check(needs, facts):
        if each.severity is Severity.ERROR and cluster.preflight is Preflight.STOP:
            errors.append(str(each))
        else:
            pulumi.warn(str(each))
    if errors:
        raise pulumi.RunError(
            "The cluster is not ready, and nothing was changed (docs/preflight.md):\n"
            + "\n".join(errors)
        )
