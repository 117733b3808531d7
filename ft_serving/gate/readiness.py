"""Waiting for an InferenceService, no longer than there is hope."""

from collections.abc import Callable

from ft_serving.diagnosis import State
from ft_serving.diagnosis.watch import Source, watch
from ft_serving.gate.errors import NotReadyError


def wait_until_ready(
    source: Source, service: str, budget_s: float, say: Callable[[str], None]
) -> str:
    """Wait until an InferenceService is ready.

    Args:
        source: Where its state is read.
        service: Its name.
        budget_s: Seconds after which waiting ends.
        say: Told what is waited for.

    Returns:
        Its address within the cluster.

    Raises:
        NotReadyError: It will not become ready, or was not in time.
        DiagnosisError: Its state cannot be read.
    """
    verdict = watch(source, service, budget_s, say)
    if verdict.state is State.FAILED:
        raise NotReadyError(f"InferenceService {service} will not become ready.\n{verdict.summary}")
    if verdict.state is State.PENDING:
        raise NotReadyError(
            f"InferenceService {service} is not ready after {budget_s:.0f} s, though nothing says "
            "that it never will be; if it only needs longer, allow more (--timeout).\n"
            f"{verdict.summary}"
        )
    if verdict.url is None:
        raise NotReadyError(
            f"InferenceService {service} is ready, but its status has no address; give one (--url)"
        )
    return verdict.url
