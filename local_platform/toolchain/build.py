"""Builds one group of tools into its folder in the cache."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from rich.filesize import decimal

from local_platform.errors import PlatformError
from local_platform.settings import Report
from local_platform.toolchain import pins
from local_platform.toolchain.go import go_version
from local_platform.toolchain.groups import Group, ModuleSource
from local_platform.toolchain.store import BuildRecord, folder_of

_LAST_LINES = 15
_DOWNLOADING = "go: downloading "
_SECONDS_BETWEEN_REPORTS = 15
_SECONDS_TO_END = 10

# The advice for a failure is that of the first pattern that Go's last lines match.
_ADVICE = (
    (
        r"SECURITY ERROR|checksum mismatch",
        "What was downloaded is not what is pinned, and was not used: look at GOPROXY's proxy.",
    ),
    (r"no space left on device", "The disk is full: make room, then run it again."),
    (
        r"signal: killed|cannot allocate memory",
        "Memory ran out: have 4 GiB free, then run it again.",
    ),
    (
        r"dial tcp|i/o timeout|TLS handshake|proxyconnect|no such host|connection re|x509:",
        "The module proxy was not reached: check the network and GOPROXY, then run it again.",
    ),
    (r"", "Remove the cause, then run it again."),
)


@dataclass(frozen=True, kw_only=True)
class Builder:
    """Builds groups with one Go and one pair of Go's caches.

    Attributes:
        go: The program.
        scratch: A folder on the cache's volume, for groups that are not complete and for Go's
            caches, where the environment names no others.
        report: Takes lines about the progress.
    """

    go: Path
    scratch: Path
    report: Report

    def build(self, group: Group, label: str) -> None:
        """Build a group, and rename it to its place when it is complete.

        Raises:
            PlatformError: Go or the C compiler failed, or a source is not in its module.
        """
        started = time.monotonic()
        folder = self.scratch / group.name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "bin").mkdir(parents=True)
        module = self._module(group.name, group)
        for source in group.embedded:
            _copy(self._source(group, source), module / source.target)
        flags = f"-ldflags={pins.linker_flags(group)}"
        self._run(["install", "-v", flags, "tool"], module, label, folder / "bin")
        for source in group.copied:
            _copy(self._source(group, source), folder / source.target)
        for source in group.compiled:
            _compile(self._source(group, source), folder / source.target)
        record = BuildRecord(
            version=pins.version(group),
            go=go_version(self.go) or "unknown",
            seconds=round(time.monotonic() - started, 1),
            size=disk_usage(folder),
        )
        record.write(folder)
        # A power cut after the rename would leave empty files in a folder that counts as complete.
        os.sync()
        folder.rename(folder_of(group))
        self.report(
            f"{label}: built in {timedelta(seconds=round(record.seconds))}, {decimal(record.size)}"
        )

    def _source(self, group: Group, source: ModuleSource) -> Path:
        module = self._module(source.pins or group.name, group)
        label = f"{group.name}: {source.module}"
        self._run(["mod", "download", source.module], module, label)
        listed = self._run(["list", "-m", "-f={{.Dir}}", source.module], module, label)
        path = Path(listed[-1]) / source.path
        if not path.exists():
            raise PlatformError(
                f"{group.name}: {source.module} has no {source.path}; its path in groups.py has to "
                "follow the version that go.mod pins"
            )
        return path

    def _module(self, name: str, group: Group) -> Path:
        """Return the folder of a copy of the pins, so that Go writes nothing in the checkout."""
        module = self.scratch / f"{name}.module"
        shutil.copytree(group.modules / name, module, dirs_exist_ok=True)
        return module

    def _run(
        self, arguments: Sequence[str], module: Path, label: str, target: Path | None = None
    ) -> Sequence[str]:
        """Run Go in a module's folder, report its progress, and return the lines that it wrote."""
        lines: list[str] = []
        started = told = time.monotonic()

        def read(line: str) -> None:
            nonlocal told
            lines.append(line)
            now = time.monotonic()
            if now - told >= _SECONDS_BETWEEN_REPORTS:
                told = now
                downloads = sum(line.startswith(_DOWNLOADING) for line in lines)
                self.report(
                    f"{label}: {downloads} modules downloaded, {len(lines) - downloads} packages "
                    f"compiled; {timedelta(seconds=round(now - started))} so far"
                )

        environment = self._environment(target)
        if run_reading([self.go, *arguments], folder=module, environment=environment, on_line=read):
            said = [line for line in lines if not line.startswith(_DOWNLOADING)]
            text = "\n".join(f"  {line}" for line in said[-_LAST_LINES:])
            advice = next(advice for pattern, advice in _ADVICE if re.search(pattern, text))
            raise PlatformError(
                f"{label}: `go {arguments[0]}` failed; its last lines:\n{text}\n"
                f"{advice} What was downloaded and compiled is kept in {self.scratch}."
            )
        return lines

    def _environment(self, target: Path | None) -> dict[str, str]:
        temporary = self.scratch / "temporary"
        temporary.mkdir(exist_ok=True)
        caches = {
            "GOMODCACHE": str(self.scratch / "modules"),
            "GOCACHE": str(self.scratch / "compiled"),
        }
        return {
            **caches,
            **os.environ,
            "CGO_ENABLED": "0",
            "GOARCH": pins.architecture(),
            # Without the last only root could delete the module cache.
            "GOFLAGS": " ".join([*pins.FLAGS, "-modcacherw"]),
            # Less time in the compiler's garbage collector for more memory: a quarter faster.
            "GOGC": "400",
            "GOOS": "linux",
            # A killed Go leaves files there, which go with the rest; and /tmp may be small.
            "GOTMPDIR": str(temporary),
            "GOTOOLCHAIN": "local",
            "GOWORK": "off",
            **({"GOBIN": str(target)} if target else {}),
        }


def run_reading(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
) -> int:
    """Run a command in a folder, pass on each line that it writes, and return its exit status.

    When an exception ends the wait, the child's process group is ended, too.
    """
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", process_group=0,
    ) as child:  # fmt: skip
        try:
            for line in child.stdout or ():
                on_line(line.rstrip("\n"))
            return child.wait()
        except BaseException:
            # Compilers end at once, and Go then deletes its temporary files.
            os.killpg(child.pid, signal.SIGINT)
            try:
                child.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
            raise


def disk_usage(folder: Path) -> int:
    """Return the bytes that a folder's files take on disk."""
    return sum(
        (Path(parent) / name).lstat().st_blocks * 512
        for parent, _, names in os.walk(folder)
        for name in names
    )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    # Module archives have no modes.
    if target.parent.name == "bin":
        target.chmod(0o755)


def _compile(source: Path, target: Path) -> None:
    try:
        compiled = subprocess.run(
            [*pins.C_COMPILER, "-o", target, source], capture_output=True, text=True
        )
    except FileNotFoundError as exc:
        raise PlatformError(f"{target.name}: {pins.C_COMPILER[0]} is not on PATH") from exc
    if compiled.returncode:
        raise PlatformError(f"{target.name}: the C compiler failed:\n{compiled.stderr.strip()}")
