"""`ft-serving gate-job`."""

from typing import Annotated

import typer

from ft_serving.client.commands import connection
from ft_serving.cluster.commands.gate import (
    TERMINATION_LOG,
    ContextOption,
    NamespaceOption,
    TerminationLogOption,
)
from ft_serving.core.errors import FtServingError


def gate_job(
    job: Annotated[str, typer.Option(help="The Job's name.")],
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds in which it has to have succeeded.")
    ] = 600.0,
    termination_log: TerminationLogOption = TERMINATION_LOG,
) -> None:
    """Wait until a Job has succeeded, and fail with the root cause once it cannot."""
    from ft_serving.cluster.gate.termination import write_termination_message

    try:
        from ft_serving.cluster.diagnosis.cluster import Cluster
        from ft_serving.cluster.gate.readiness import wait_until_done

        cluster = Cluster(context=context, namespace=namespace)
        wait_until_done(cluster, job, timeout, connection.say)
    except FtServingError as exc:
        write_termination_message(termination_log, str(exc))
        raise
    typer.echo(f"Job {job} has succeeded")
