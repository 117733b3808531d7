"""The cache of built tools: one folder a group, named by the key of its pins.

A folder appears by a rename when it is complete, and is never changed afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local_platform import settings
from local_platform.errors import ToolchainMissingError
from local_platform.toolchain import pins
from local_platform.toolchain.groups import GROUPS, Group

RECORD = "build.json"


@dataclass(frozen=True, kw_only=True)
class BuildRecord:
    """How a group was built, kept in its folder.

    Attributes:
        version: The tools' version.
        go: The version of Go that built them.
        seconds: How long that took, downloads included.
        size: Bytes of all files in the folder.
    """

    version: str
    go: str
    seconds: float
    size: int

    def write(self, folder: Path) -> None:
        """Write the record into the group's folder."""
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")


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
        """The program of a tool: `tool("kube-apiserver")`.

        Raises:
            KeyError: no group has a tool of that name.
        """
        return self.tools[name]

    def manifests(self, group: str) -> Path:
        """The folder of what upstream applies to a cluster, as `<module>/<path in the module>`.

        Raises:
            KeyError: the group has none.
        """
        folder = self.folders[group] / "manifests"
        if not folder.is_dir():
            raise KeyError(group)
        return folder

    def records(self) -> Mapping[str, BuildRecord]:
        """Return how each group was built."""
        return {
            name: BuildRecord(**json.loads((folder / RECORD).read_text()))
            for name, folder in self.folders.items()
        }


def root() -> Path:
    """The folder of the groups' folders."""
    return settings.cache() / "toolchain"


def folder_of(group: Group) -> Path:
    """Where a group lies once it is built.

    Raises:
        PlatformError: see `pins.key`.
    """
    return root() / f"{group.name}-{pins.key(group)}"


def find(groups: Sequence[Group] = GROUPS) -> Toolchain:
    """Find the tools without building any.

    Raises:
        ToolchainMissingError: some were never built, or their pins changed since.
        PlatformError: see `pins.key`.
    """
    folders: dict[str, Path] = {}
    tools: dict[str, Path] = {}
    missing = []
    for group in groups:
        folder = folder_of(group)
        if folder.is_dir():
            folders[group.name] = folder
            tools |= {program.name: program for program in (folder / "bin").iterdir()}
        else:
            missing.append(group.name)
    if missing:
        raise ToolchainMissingError(missing)
    return Toolchain(folders=folders, tools=tools)
