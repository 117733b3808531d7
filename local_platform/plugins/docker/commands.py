"""Runs the docker command line.

The command line and not the daemon's HTTP interface: BuildKit calls its client back, for the
context and for credentials, over a gRPC server on a connection that it takes over, which Python's
gRPC cannot serve. The command line also reads ignore files by the builder's own rules.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from local_platform.plugins.docker.errors import (
    CancelledError,
    CommandError,
    DaemonUnreachableError,
    DockerMissingError,
)

Say = Callable[[str], None]
"""Takes a line of output as soon as it is there."""

# From 23 on the command line builds with BuildKit through its plugin buildx alone.
_FIRST_WITHOUT_BUILDKIT = 23


class Docker:
    """The docker command line, against one daemon."""

    def __init__(self, host: str | None) -> None:
        """Runs nothing yet.

        Args:
            host: The daemon's address; None for DOCKER_HOST or Docker's own default.
        """
        self._host = host
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(
        self,
        *arguments: str,
        say: Say = lambda _: None,
        configuration: Path | None = None,
        buildkit: bool = True,
    ) -> list[str]:
        """Runs one command to its end.

        Args:
            arguments: What follows "docker".
            say: Gets every line that is not empty.
            configuration: The folder of Docker's configuration; None for the user's.
            buildkit: Whether a build uses BuildKit.

        Returns:
            The lines written.

        Raises:
            CommandError: The command failed.
            CancelledError: `stop` was called.
            DockerMissingError: There is no docker command line.
        """
        environment = os.environ | {"DOCKER_BUILDKIT": str(int(buildkit))}
        if self._host is not None:
            environment["DOCKER_HOST"] = self._host
        if configuration is not None:
            environment["DOCKER_CONFIG"] = str(configuration)
        process = self._start([self._program, *arguments], environment)
        lines = []
        with process:
            for line in process.stdout or ():
                if text := line.strip():
                    lines.append(text)
                    say(text)
        with self._lock:
            self._running.discard(process)
            if self._stopped:
                raise CancelledError("cancelled")
        if process.returncode:
            raise CommandError(f"docker {arguments[0]}", process.returncode, lines)
        return lines

    def _start(
        self, command: Sequence[str], environment: dict[str, str]
    ) -> "subprocess.Popen[str]":
        with self._lock:
            if self._stopped:
                raise CancelledError("cancelled")
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                # buildx is a child of docker: a group of their own, so that both can be ended.
                start_new_session=True,
            )
            self._running.add(process)
        return process

    def stop(self) -> None:
        """Ends what runs, and lets nothing new start.

        The daemon gives a build or push up when its client's connection closes.
        """
        with self._lock:
            self._stopped = True
            for process in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def require_daemon(self) -> None:
        """Checks that the daemon answers.

        Raises:
            DaemonUnreachableError: It does not.
        """
        try:
            self.run("version", "--format", "{{.Server.Version}}")
        except CommandError as exc:
            where = self._host or os.environ.get("DOCKER_HOST") or "its default address"
            raise DaemonUnreachableError(
                f"failed to connect to any docker daemon at {where}; start it, or set the "
                f"provider's host or DOCKER_HOST: {exc.lines[-1]}"
            ) from exc

    @cached_property
    def _program(self) -> str:
        """The first docker command line on PATH that can build with BuildKit."""
        found = [shutil.which("docker", path=folder) for folder in os.get_exec_path()]
        programs = [program for program in found if program is not None]
        for program in programs:
            if _builds_with_buildkit(program):
                return program
        if programs:
            raise DockerMissingError(
                f"{' and '.join(programs)} cannot build with BuildKit: install Docker's plugin "
                "buildx"
            )
        raise DockerMissingError("there is no docker command line on PATH; install it")


def _builds_with_buildkit(program: str) -> bool:
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"version (\d+)\.", version.stdout)
    if number is not None and int(number[1]) < _FIRST_WITHOUT_BUILDKIT:
        return True
    return not subprocess.run(
        [program, "buildx", "version"], capture_output=True, check=False
    ).returncode
