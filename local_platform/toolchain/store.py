"""The cache of built tools: one folder a group, named by the key of its pins.

A folder appears by a rename when it is complete, and is never changed afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local_platform import settings
from local_platform.errors import PlatformError
from local_platform.toolchain import pins
from local_platform.toolchain.groups import GROUPS, Group

_RECORD = "build.json"


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """The record of a build, kept in the group's folder.

    Attributes:
        version: The tools' version.
        go: The version of Go that built them.
        seconds: The time that the build took, downloads included.
        size: Bytes of all files in the folder.
    """

    version: str
    go: str
    seconds: float
    size: int

    def write(self, folder: Path) -> None:
        """Write the record into the group's folder."""
        (folder / _RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")


@dataclass(frozen=True, kw_only=True)
class Toolchain:
    """The tools of the platform, ready to run.

    Attributes:
        folders: The folder of each group.
        tools: The program of each tool, by name. No two groups have tools of one name.
    """

    folders: Mapping[str, Path]
    tools: Mapping[str, Path]

    def tool(self, name: str) -> Path:
        """Return the program of a tool: `tool("kube-apiserver")`."""
        return self.tools[name]

    def manifests(self, group: str) -> Path:
        """Return the folder of upstream's manifests: `<module>/<path in the module>`."""
        return self.folders[group] / "manifests"

    def records(self) -> Mapping[str, BuildRecord]:
        """Return the record of each group's build."""
        return {
            name: BuildRecord(**json.loads((folder / _RECORD).read_text()))
            for name, folder in self.folders.items()
        }


def root() -> Path:
    """Return the folder of the groups' folders."""
    return settings.cache() / "toolchain"


def folder_of(group: Group) -> Path:
    """Return the folder that a group has once it is built."""
    return root() / f"{group.name}-{pins.key(group)}"


def missing(groups: Sequence[Group] = GROUPS) -> list[Group]:
    """Return the groups that were never built, or whose pins changed since."""
    return [group for group in groups if not folder_of(group).is_dir()]


def find(groups: Sequence[Group] = GROUPS) -> Toolchain:
    """Find the tools without building any.

    Raises:
        PlatformError: Some were never built, or their pins changed since.
    """
    if lacking := missing(groups):
        raise PlatformError(
            f"not built, or built from other pins: {', '.join(group.name for group in lacking)}; "
            "run `make platform`, which builds what is missing"
        )
    folders = {group.name: folder_of(group) for group in groups}
    programs = (path for folder in folders.values() for path in (folder / "bin").iterdir())
    return Toolchain(folders=folders, tools={program.name: program for program in programs})
