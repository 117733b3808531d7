"""Says which files a Dockerfile.dockerignore lets into a build."""

from pathlib import Path, PurePosixPath

from tests.images.dockerfile import IMAGES, ROOT


def rules(name: str) -> list[str]:
    """The lines of an image's ignore file."""
    return (IMAGES / name / "Dockerfile.dockerignore").read_text().splitlines()


def context_files(name: str) -> list[Path]:
    """The files of the repository that an image is built from, relative to its root."""
    found: set[Path] = set()
    for rule in rules(name):
        if rule.startswith("!"):
            allowed = ROOT / rule[1:]
            found |= {allowed} if allowed.is_file() else set(allowed.rglob("*"))
    relative = (path.relative_to(ROOT) for path in found if path.is_file())
    return sorted(path for path in relative if _is_let_in(rules(name), PurePosixPath(path)))


def _is_let_in(lines: list[str], path: PurePosixPath) -> bool:
    # Docker's rule: the last line that matches decides, and a folder's line matches what is in it.
    let_in = True
    for line in lines:
        if _matches(line.removeprefix("!"), path):
            let_in = line.startswith("!")
    return let_in


def _matches(pattern: str, path: PurePosixPath) -> bool:
    if pattern == "**":
        return True
    if pattern.startswith("**/"):
        return pattern.removeprefix("**/") in path.parts
    return path.is_relative_to(pattern)
