"""The commands `gate`, `gate-job` and `diagnose`."""

import dataclasses
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from ft_serving.client.commands.connection import CONNECTION, connect, options, say
from ft_serving.core.errors import FtServingError

NAMESPACE = "ft-serving"
INFERENCE_SERVICE = "fastertransformer-triton"
"""The names that the program gives them by default."""

FAILED = 1
ON_ITS_WAY = 3

# Kubernetes' default for terminationMessagePath.
TERMINATION_LOG = Path("/dev/termination-log")

TERMINATION_LIMIT = 4096
"""Bytes that Kubernetes keeps of one container's message."""

_CUT = "\n… (the log has the rest)"

LEAST_REQUEST_S = 30.0
"""Seconds that a request gets at least, however late the service became ready."""

NamespaceOption = Annotated[
    str | None, typer.Option(help="By default the pod's own, or that of the context.")
]
ContextOption = Annotated[
    str | None,
    typer.Option(
        help="A context of the kubeconfig; by default the pod's service account, outside of a "
        "cluster the current context."
    ),
]
TerminationLogOption = Annotated[
    Path, typer.Option(help="File for the error that Kubernetes shows; written if it exists.")
]

# The gate has one --timeout, for the service and its answer.
_SET_HERE = ("wait", "timeout")


def add_commands(app: typer.Typer) -> None:
    """Add this room's commands to the command line."""
    app.command()(gate)
    app.command()(gate_job)
    app.command()(diagnose)


@options("connection", {name: CONNECTION[name] for name in CONNECTION if name not in _SET_HERE})
def gate(
    inference_service: Annotated[str, typer.Option(help="The InferenceService's name.")],
    prompt: Annotated[str, typer.Option(help="The question to ask once it is ready.")],
    expect_text: Annotated[
        str | None,
        typer.Option(help="The whole text that has to follow the prompt, or @FILE that holds it."),
    ] = None,
    expect_token_ids: Annotated[
        str | None,
        typer.Option(help="The ids of the tokens that have to follow, with commas: 348,434,954."),
    ] = None,
    expect_words: Annotated[
        list[str] | None,
        typer.Option(help="A word that has to be in the text; may be repeated."),
    ] = None,
    output_length: Annotated[
        int | None, typer.Option(help="Most tokens to generate; 64 if not given.")
    ] = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds in which it has to be ready and has answered.")
    ] = 600.0,
    url: Annotated[
        str | None,
        typer.Option(help="Where to ask; by default the service's address within the cluster."),
    ] = None,
    openai_model: Annotated[
        str | None,
        typer.Option(help="Ask the service's OpenAI API, too, for the model of this name."),
    ] = None,
    termination_log: TerminationLogOption = TERMINATION_LOG,
    *,
    connection: dict[str, Any],
) -> None:
    """Wait until a deployment is ready, ask it, and fail with the root cause if it is not right."""
    if [expect_text, expect_token_ids, expect_words or None].count(None) != 2:
        raise typer.BadParameter(
            "say what to expect: --expect-text, --expect-token-ids or --expect-words"
        )
    begin = time.monotonic()
    with _error_left_in(termination_log):
        from ft_serving.client.endpoint import Endpoint, token_from_environment
        from ft_serving.client.parameters import DEFAULT_OUTPUT_LENGTH, checked
        from ft_serving.client.tokenizer import DEFAULT_TOKENIZER, load_tokenizer
        from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
        from ft_serving.cluster.gate.question import Expectation, ask, complete
        from ft_serving.cluster.gate.readiness import try_again, wait_until_ready
        from ft_serving.core.parameters import Parameters

        expectation = Expectation(
            text=_text(expect_text),
            token_ids=_token_ids(expect_token_ids),
            words=expect_words or (),
        )
        parameters: Parameters = {"top_k": 1}
        if output_length is not None:
            parameters["output_length"] = output_length
        checked(parameters)
        # Before the wait: a wrong name should not show after ten minutes.
        load_tokenizer(connection["tokenizer"] or DEFAULT_TOKENIZER, os.environ, say)
        cluster = ClusterNamespace(context=context, namespace=namespace)
        try_again(cluster, inference_service, say)
        address = wait_until_ready(cluster, inference_service, timeout, say)
        left = max(LEAST_REQUEST_S, timeout - (time.monotonic() - begin))
        say(f"{inference_service} is ready; asking {url or address}: {prompt!r}")
        with connect(url or address, {**connection, "wait": left, "timeout": left}) as client:
            answer, seconds = ask(client, prompt, parameters, say)
        expectation.check(prompt, answer.text, answer.output_ids)
        if openai_model is not None:
            endpoint = Endpoint.parse(
                url or address,
                host_header=connection["host_header"],
                ca_file=connection["ca_file"],
                token=token_from_environment(os.environ),
            )
            say(f"Asking {endpoint}/v1/completions, too")
            length = output_length or DEFAULT_OUTPUT_LENGTH
            text = complete(endpoint, openai_model, prompt, length, left)
            expectation.of_text(answer.text).check(prompt, text, ())
    typer.echo(f"Right answer in {seconds:.2f} s: {prompt}{answer.text}")


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
    with _error_left_in(termination_log):
        from ft_serving.cluster.diagnosis.namespace import ClusterNamespace
        from ft_serving.cluster.gate.readiness import wait_until_done

        cluster = ClusterNamespace(context=context, namespace=namespace)
        wait_until_done(cluster, job, timeout, say)
    typer.echo(f"Job {job} has succeeded")


def diagnose(
    namespace: Annotated[str, typer.Option(help="The stack's cluster.namespace.")] = NAMESPACE,
    inference_service: Annotated[
        str, typer.Option(help="The InferenceService's name.")
    ] = INFERENCE_SERVICE,
    context: ContextOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
) -> None:
    """Print the state of a deployment, and the root cause if it failed.

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
        typer.echo(json.dumps(dataclasses.asdict(found), default=_time_text))
    else:
        show(found, Console())
    if found.standing is Standing.FAILED:
        raise typer.Exit(FAILED)
    if found.standing is Standing.ON_ITS_WAY:
        raise typer.Exit(ON_ITS_WAY)


def write_termination_message(file: Path, message: str) -> None:
    """Write an error to a container's `terminationMessagePath`, if that file exists.

    A message that is too long is cut at its end, because what comes first matters most.
    """
    if not file.exists():
        return
    # Paths may hold bytes that are not text.
    content = message.encode(errors="backslashreplace")
    if len(content) > TERMINATION_LIMIT:
        room = TERMINATION_LIMIT - len(_CUT.encode())
        content = content[:room].decode(errors="ignore").encode() + _CUT.encode()
    file.write_bytes(content)


@contextmanager
def _error_left_in(file: Path) -> Iterator[None]:
    try:
        yield
    except FtServingError as exc:
        write_termination_message(file, str(exc))
        raise


def _text(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        return given
    file = Path(given[1:])
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"--expect-text: {file} cannot be read: {exc}") from exc


def _token_ids(given: str | None) -> list[int] | None:
    if given is None:
        return None
    try:
        return [int(each) for each in given.split(",")]
    except ValueError as exc:
        raise typer.BadParameter(
            f"--expect-token-ids: must be numbers with commas, as 348,434; got {given!r}"
        ) from exc


def _time_text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    raise TypeError(f"{value!r} has no form in JSON")
