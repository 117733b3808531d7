"""The node's parts as services of runit: a folder with a `run` script each.

`runsvdir` (namespace.py) starts each one, starts it again a second after it died, and `svlogd`
turns its log over. runit(8), sv(8) and svlogd(8) of Debian own these formats.
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
        name: Its folder's and its log's name.
        command: Program and arguments, run as they are, with no shell in between.
        environment: Variables beside those of the supervisor.
        files: What it reads when it starts: when one changes, it is started again.
        probe: A command that succeeds, inside the node, once the service does its work.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    probe: Sequence[str] = ("true",)

    @property
    def log(self) -> Path:
        """The log's newest file; every line begins with the time in UTC."""
        return log_of(self.name)

    def script(self) -> str:
        """The text of the `run` script."""
        exports = "".join(
            f"export {name}={shlex.quote(value)}\n"
            for name, value in sorted(self.environment.items())
        )
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in self.files)).hexdigest()
        # Should the service's supervisor be killed, its next one would find the ports taken by this
        # process: so they end together.
        return (
            f"#!/bin/sh\n# Files: {digest}\nexec 2>&1\n{exports}"
            f"exec setpriv --pdeathsig KILL -- {shlex.join(self.command)}\n"
        )


def log_of(name: str) -> Path:
    """The newest file of a service's log."""
    return LOGS / name / "current"


def write(service: Service) -> bool:
    """Write the service's folder.

    Returns:
        Whether its description is another than before.
    """
    run = SERVICES / service.name / "run"
    script = service.script()
    if run.exists() and run.read_text() == script:
        return False
    _write_log_service(service)
    _write_script(run, script)
    return True


def start(name: str) -> None:
    """Start a service that was stopped; one that runs is left alone."""
    _sv("up", name)


def restart(name: str) -> None:
    """End the service's process, by force where it lingers, and start it by its new description."""
    _sv("force-restart", name)


def _write_log_service(service: Service) -> None:
    folder = service.log.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config").write_text(_LOG_RULES)
    _write_script(
        SERVICES / service.name / "log" / "run",
        f"#!/bin/sh\nexec svlogd -ttt {shlex.quote(str(folder))}\n",
    )


def _write_script(path: Path, text: str) -> None:
    # runsvdir may look at any moment, and must never find half a script.
    write_whole(path, text.encode(), mode=0o755)


def stop(name: str) -> None:
    """End a service, and its supervisor with it."""
    _sv("force-shutdown", name)


def remove(name: str) -> None:
    """Remove the folder of a service that is stopped."""
    shutil.rmtree(SERVICES / name)


def names() -> list[str]:
    """The services that have a folder, in the order of their names."""
    if not SERVICES.is_dir():
        return []
    return sorted(path.name for path in SERVICES.iterdir() if (path / "run").exists())


def state(name: str) -> str:
    """What `sv status` says of a service, without its log's part: `run: … (pid 12) 34s`."""
    done = subprocess.run(
        ["sv", "status", str(SERVICES / name)], capture_output=True, text=True, check=False
    )
    return done.stdout.partition(";")[0].strip().replace(f"{SERVICES}/", "")


def last_lines(service_log: Path, count: int) -> list[str]:
    """The end of a log; an empty list when there is none yet."""
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
