"""Whether the node's parts do their work, by the probe of each."""

import subprocess
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from local_platform.errors import PlatformError
from local_platform.node import namespace
from local_platform.node.services import Service, last_lines, state

_PROBE_SECONDS = 10
_PAUSE_SECONDS = 0.3


def failing(service: Service) -> str | None:
    """Ask a service whether it does its work.

    Returns:
        `None` when it does, else what its probe printed.
    """
    try:
        done = subprocess.run(
            namespace.entering(service.probe),
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROBE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_SECONDS} s"
    if done.returncode == 0:
        return None
    return done.stderr.strip() or f"its probe exited with status {done.returncode}"


def failures(services: Iterable[Service]) -> dict[str, str]:
    """Ask all services at once; the failing ones by name, each with its reason."""
    services = list(services)
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = pool.map(failing, services)
        return {
            service.name: reason
            for service, reason in zip(services, answers, strict=True)
            if reason is not None
        }


def wait(services: Iterable[Service], patience: float, report: Callable[[str], None]) -> None:
    """Wait until every service does its work.

    Args:
        services: Those to wait for.
        patience: Seconds that all of them have together.
        report: Told now and then what is waited for.

    Raises:
        PlatformError: Some do not; the message names each with its reason and last log lines.
    """
    begin = time.monotonic()
    waiting = {service.name: service for service in services}
    told = begin
    while reasons := failures(waiting.values()):
        waiting = {name: waiting[name] for name in reasons}
        now = time.monotonic()
        if now - begin > patience:
            raise PlatformError(
                "\n".join(_story(waiting[name], why) for name, why in reasons.items())
            )
        if now - told > 10:
            report(f"waiting for {', '.join(waiting)} ({now - begin:.0f} s)")
            told = now
        time.sleep(_PAUSE_SECONDS)


def _story(service: Service, reason: str) -> str:
    lines = "\n".join(f"    {line}" for line in last_lines(service.log, 8))
    return (
        f"{service.name} does not work: {reason} ({state(service.name)}). "
        f"The end of {service.log}:\n{lines}"
    )
