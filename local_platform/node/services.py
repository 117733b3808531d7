"""Runs the node's parts as services of runit: a folder with a `run` script each.

`runsvdir` (namespace.py) starts each one, and again a second after it died; `svlogd` rotates its
log. runit(8), sv(8) and svlogd(8) of Debian own these formats.
"""

import hashlib
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.files import write_whole
from local_platform.node.namespace import SERVICES
from local_platform.settings import LOGS

_PATIENCE = 10
"""Seconds from SIGTERM to SIGKILL."""

_LOG_RULES = "s2000000\nn2\n"  # Two files of 2 MB beside the current one.


@dataclass(frozen=True, kw_only=True)
class Service:
    """One supervised process.

    Attributes:
        name: The name of its folder and its log.
        command: Program and arguments, run without a shell.
        environment: Variables beside those of the supervisor.
        files: The files that it reads when it starts: a change of one restarts it.
        probe: A command that succeeds, inside the node, once the service works.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    probe: Sequence[str] = ("true",)

    @property
    def log(self) -> Path:
        """The newest file of its log; every line begins with the time in UTC."""
        return log_of(self.name)

    def script(self) -> str:
        """Return the text of the `run` script."""
        exports = "".join(
            f"export {name}={shlex.quote(value)}\n"
            for name, value in sorted(self.environment.items())
        )
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in self.files)).hexdigest()
        # The process ends with its supervisor: if that is killed, the next one needs the ports.
        return (
            f"#!/bin/sh\n# Files: {digest}\nexec 2>&1\n{exports}"
            f"exec setpriv --pdeathsig KILL -- {shlex.join(self.command)}\n"
        )


def log_of(name: str) -> Path:
    """Return the newest file of a service's log."""
    return LOGS / name / "current"


def write(service: Service) -> bool:
    """Write the service's folder; return whether its description has changed."""
    folder, text = SERVICES / service.name, service.script()
    run = folder / "run"
    if run.exists() and run.read_text() == text:
        return False
    log = service.log.parent
    write_whole(log / "config", _LOG_RULES.encode(), mode=0o644)
    script = f"#!/bin/sh\nexec svlogd -ttt {shlex.quote(str(log))}\n"
    write_whole(folder / "log" / "run", script.encode(), mode=0o755)
    # Last and whole, because runsvdir may look at any moment.
    write_whole(run, text.encode(), mode=0o755)
    return True


def start(name: str) -> None:
    """Start a service that was stopped."""
    _sv("up", name)


def restart(name: str) -> None:
    """End the service's process, by force if it lingers, and start it by its new description."""
    _sv("force-restart", name)


def stop(name: str) -> None:
    """End a service, and its supervisor with it."""
    _sv("force-shutdown", name)


def remove(name: str) -> None:
    """Remove the folder of a service that is stopped."""
    shutil.rmtree(SERVICES / name)


def names() -> list[str]:
    """Return the services that have a folder, sorted."""
    return sorted(path.parent.name for path in SERVICES.glob("*/run"))


def state(name: str) -> str:
    """Return the answer of `sv status` without its log's part: `run: … (pid 12) 34s`."""
    done = subprocess.run(
        ["sv", "status", str(SERVICES / name)], capture_output=True, text=True, check=False
    )
    return done.stdout.partition(";")[0].strip().replace(f"{SERVICES}/", "")


def last_lines(service_log: Path, count: int) -> list[str]:
    """Return the end of a log, or an empty list if there is none yet."""
    try:
        text = service_log.read_bytes()[-64 * 1024 :].decode(errors="replace")
    except FileNotFoundError:
        return []
    return text.splitlines()[-count:]


def _sv(action: str, name: str) -> None:
    # A service whose folder is new has no supervisor for up to five seconds; it is started then.
    if not (SERVICES / name / "supervise" / "ok").exists():
        return
    done = subprocess.run(
        ["sv", "-w", str(_PATIENCE), action, str(SERVICES / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    # `kill:` says that patience ended and SIGKILL was sent, which is what a forced action is for.
    if done.returncode != 0 and not done.stdout.startswith("kill:"):
        raise PlatformError(f"sv {action} {name} failed: {(done.stdout + done.stderr).strip()}")
