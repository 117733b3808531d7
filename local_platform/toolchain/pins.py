"""The pins of a group, read from its `go.mod` and `go.sum`, and the key that they make.

The format is that of https://go.dev/ref/mod#go-mod-file. It is read here because tools that were
built before have to be found on a machine without Go.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from local_platform.errors import PlatformError
from local_platform.toolchain.groups import Group

FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
LINKER_FLAGS = ("-s", "-w")
C_COMPILER = ("gcc", "-Os", "-Wall", "-static")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Pins:
    """What a `go.mod` pins.

    Attributes:
        go: The least version of Go.
        tools: Package paths of the programs.
        versions: Version of each module that is required, without the `v`.
    """

    go: tuple[int, ...]
    tools: tuple[str, ...]
    versions: Mapping[str, str]


def read_pins(folder: Path) -> Pins:
    """Read the `go.mod` in a folder.

    Raises:
        PlatformError: it is missing, or has no `go` or `tool` line.
    """
    path = folder / "go.mod"
    try:
        text = path.read_text()
    except OSError as exc:
        raise PlatformError(f"{path}: cannot be read: {exc.strerror}") from exc
    lines = _directives(text)
    go = [tuple(map(int, rest.split("."))) for verb, rest in lines if verb == "go"]
    tools = tuple(rest for verb, rest in lines if verb == "tool")
    if not go or not tools:
        raise PlatformError(f"{path}: needs a `go` line and `tool` lines; got {len(tools)} tools")
    required = [rest.split() for verb, rest in lines if verb == "require"]
    versions = {module: version.removeprefix("v") for module, version in required}
    return Pins(go=go[0], tools=tools, versions=versions)


def _directives(text: str) -> list[tuple[str, str]]:
    """Each line of a `go.mod` as its verb and the rest, with blocks taken apart."""
    lines = []
    block = None
    for raw in text.splitlines():
        line = raw.split("//")[0].strip()
        if line == ")":
            block = None
        elif block and line:
            lines.append((block, line))
        elif match := re.fullmatch(r"(\w+)\s+(.+)", line):
            if match[2] == "(":
                block = match[1]
            else:
                lines.append((match[1], match[2]))
    return lines


def version(group: Group) -> str:
    """The version of the group's tools, without the `v`.

    Raises:
        PlatformError: the group's `go.mod` does not require its module.
    """
    folder = group.modules / group.name
    try:
        return read_pins(folder).versions[group.module]
    except KeyError as exc:
        raise PlatformError(f"{folder / 'go.mod'}: does not require {group.module}") from exc


def linker_flags(group: Group) -> str:
    """The value of `-ldflags` for a group."""
    number = version(group)
    major, minor, *_ = number.split(".")
    values = {"version": number, "major": major, "minor": minor}
    settings = [f"-X {name}={value.format(**values)}" for name, value in group.variables]
    return " ".join([*LINKER_FLAGS, *settings])


def architecture() -> str:
    """This machine's GOARCH.

    Raises:
        PlatformError: it is neither amd64 nor arm64.
    """
    machine = platform.machine()
    try:
        return _ARCHITECTURES[machine]
    except KeyError as exc:
        raise PlatformError(
            f"the platform's tools are built for {' and '.join(_ARCHITECTURES)} only; "
            f"this machine is {machine}"
        ) from exc


def key(group: Group) -> str:
    """What names a group's folder in the cache: it changes with anything that goes into the tools.

    The version of Go is not part of it, so that an update of Go does not cost a build.

    Raises:
        PlatformError: a file of pins is missing.
    """
    pinned_by = {group.name, *(source.pins for source in group.copied if source.pins)}
    digest = hashlib.sha256()
    for name in sorted(pinned_by):
        folder = group.modules / name
        own = sorted(folder.rglob("*.go"))
        for path in (folder / "go.mod", folder / "go.sum", *own):
            try:
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            except OSError as exc:
                raise PlatformError(f"{path}: cannot be read: {exc.strerror}") from exc
    # Neither where the checkout lies nor how long a build takes changes its result.
    recipe = asdict(replace(group, modules=Path(), cost_s=0))
    settings = (recipe, FLAGS, LINKER_FLAGS, C_COMPILER, architecture())
    # As JSON: the names of classes here are no part of what is built.
    digest.update(json.dumps(settings, default=str, sort_keys=True).encode())
    return digest.hexdigest()[:12]
