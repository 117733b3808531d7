"""Reads the pins of a group from its `go.mod` and `go.sum`, and makes the key of its folder.

They are read here and not by Go, so that tools that were built before are found without Go.
"""

import hashlib
import json
import platform
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from local_platform.toolchain.groups import Group

FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
LINKER_FLAGS = ("-s", "-w")
C_COMPILER = ("gcc", "-Os", "-Wall", "-static")

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def requirements(folder: Path) -> Mapping[str, str]:
    """Return the version of each module that a folder's `go.mod` requires, without the `v`.

    https://go.dev/ref/mod#go-mod-file owns the format.
    """
    line = re.compile(r"^(?:\t|require )(\S+) v(\S+)(?: //.*)?$", re.MULTILINE)
    return dict(line.findall((folder / "go.mod").read_text()))


def least_go(group: Group) -> tuple[int, ...]:
    """Return the least version of Go that a group asks for."""
    found = re.search(r"^go (\S+)$", (group.modules / group.name / "go.mod").read_text(), re.M)
    return tuple(map(int, found[1].split("."))) if found else ()


def version(group: Group) -> str:
    """Return the version of the group's tools, without the `v`."""
    return requirements(group.modules / group.name)[group.module]


def linker_flags(group: Group) -> str:
    """Return the value of `-ldflags` for a group."""
    number = version(group)
    major, minor, *_ = number.split(".")
    values = {"version": number, "major": major, "minor": minor}
    settings = [f"-X {name}={value.format(**values)}" for name, value in group.variables]
    return " ".join([*LINKER_FLAGS, *settings])


def architecture() -> str:
    """Return this machine's architecture as Go and OCI images call it."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def key(group: Group) -> str:
    """Return the key that names a group's folder in the cache.

    It changes with anything that goes into the tools. The version of Go is not part of it, so that
    an update of Go does not cost a build.
    """
    pinned_by = {group.name, *(source.pins for source in group.copied if source.pins)}
    digest = hashlib.sha256()
    for name in sorted(pinned_by):
        folder = group.modules / name
        for path in (folder / "go.mod", folder / "go.sum", *sorted(folder.rglob("*.go"))):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    # Neither where the checkout lies nor how long a build takes changes its result.
    recipe = asdict(replace(group, modules=Path(), cost_s=0))
    settings = (recipe, FLAGS, LINKER_FLAGS, C_COMPILER, architecture())
    # As JSON, because the names of classes here are no part of what is built.
    digest.update(json.dumps(settings, default=str, sort_keys=True).encode())
    return digest.hexdigest()[:12]
