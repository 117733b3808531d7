"""Which files of a build context an ignore file leaves out, by Docker's rules.

The syntax and its corner cases are those of moby/patternmatcher, which Docker and BuildKit use.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local_platform.plugins.docker.errors import ContextError

_WILDCARDS = frozenset("*?[\\")


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One line of an ignore file.

    Attributes:
        regex: Matches the paths that the line names, relative to the context.
        literal: The leading components without a wildcard.
        exception: Whether the line begins with "!": what matches is let in again.
    """

    regex: re.Pattern[str]
    literal: tuple[str, ...]
    exception: bool

    @classmethod
    def parse(cls, line: str) -> Self:
        """The pattern of a stripped line.

        Raises:
            ContextError: The line has no pattern, or one that is malformed.
        """
        exception = line.startswith("!")
        text = line.removeprefix("!").strip()
        if not text:
            raise ContextError('"!" excludes nothing: write a pattern behind it')
        text = posixpath.normpath(text)
        text = text.lstrip("/") or text
        parts = text.split("/")
        wild = (i for i, part in enumerate(parts) if _WILDCARDS & set(part))
        return cls(
            regex=_regex(text), literal=tuple(parts[: next(wild, len(parts))]), exception=exception
        )

    def may_match_below(self, folder: Sequence[str]) -> bool:
        """Whether a path in the folder of these components could match; True when in doubt."""
        shared = min(len(self.literal), len(folder))
        return self.literal[:shared] == tuple(folder[:shared])


def _regex(pattern: str) -> re.Pattern[str]:
    expression = ""
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*" and pattern.startswith("*", position):
            position += 1
            if pattern.startswith("/", position):
                position += 1
            # "**" at the end takes everything, elsewhere any number of whole components.
            expression += ".*" if position == len(pattern) else "(.*/)?"
        elif char == "*":
            expression += "[^/]*"
        elif char == "?":
            expression += "[^/]"
        elif char == "\\" and position < len(pattern):
            expression += re.escape(pattern[position])
            position += 1
        elif char == "[" and (end := pattern.find("]", position)) > position:
            expression += pattern[position - 1 : end + 1]
            position = end + 1
        else:
            expression += re.escape(char)
    try:
        return re.compile(expression, re.DOTALL)
    except re.error as exc:
        raise ContextError(f"{pattern!r} is no pattern of files: {exc}") from exc


def read(context: Path, dockerfile: Path) -> list[Pattern]:
    """The patterns of a build, in the order in which they are written.

    Args:
        context: The context's folder.
        dockerfile: The Dockerfile; `<Dockerfile>.dockerignore` beside it goes before the
            context's own `.dockerignore`.

    Raises:
        ContextError: The ignore file cannot be read, or a line of it is malformed.
    """
    for path in (
        dockerfile.with_name(f"{dockerfile.name}.dockerignore"),
        context / ".dockerignore",
    ):
        try:
            text = path.read_text("utf-8-sig")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as exc:
            raise ContextError(f"{path} cannot be read: {exc}") from exc
        return list(_patterns(path, text))
    return []


def _patterns(path: Path, text: str) -> list[Pattern]:
    patterns = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            patterns.append(Pattern.parse(line.strip()))
        except ContextError as exc:
            raise ContextError(f"{path}, line {number}: {exc}") from exc
    return patterns
