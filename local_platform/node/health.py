"""Asks the node's parts by their probes whether they work."""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from local_platform.errors import PlatformError
from local_platform.node import namespace
from local_platform.node.services import Service, last_lines, state
from local_platform.settings import Report

_PROBE_SECONDS = 10
_PAUSE_SECONDS = 0.3


def failing(service: Service) -> str | None:
    """Return None if a service works, else the message of its probe."""
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


def failures(services: Sequence[Service]) -> dict[str, str]:
    """Ask all services at once; return the failing ones by name, each with its reason."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = zip(services, pool.map(failing, services), strict=True)
        return {service.name: reason for service, reason in answers if reason is not None}


def wait(services: Sequence[Service], patience: float, report: Report) -> None:
    """Wait until every service works, for at most `patience` seconds in all.

    Raises:
        PlatformError: Some do not work; the message has each reason and the end of each log.
    """
    begin = told = time.monotonic()
    while reasons := failures(services):
        services = [service for service in services if service.name in reasons]
        now = time.monotonic()
        if now - begin > patience:
            raise PlatformError("\n".join(_story(one, reasons[one.name]) for one in services))
        if now - told > 10:
            report(f"waiting for {', '.join(reasons)} ({now - begin:.0f} s)")
            told = now
        time.sleep(_PAUSE_SECONDS)


def _story(service: Service, reason: str) -> str:
    lines = "\n".join(f"    {line}" for line in last_lines(service.log, 8))
    return (
        f"{service.name} does not work: {reason} ({state(service.name)}). "
        f"The end of {service.log}:\n{lines}"
    )
