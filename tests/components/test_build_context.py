"""The tag of an image: another one whenever the image could be another, and only then."""

import os
from collections.abc import Callable
from pathlib import Path

import pulumi
import pytest

from components.build_context import content_tag, context_files

PLATFORM = "linux/amd64"
IGNORE = "**\n# The code, and its licence\n!code\n!LICENSE\n\n**/__pycache__\n**/private\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    for path, text in {
        "Dockerfile": "FROM scratch\n",
        "Dockerfile.dockerignore": IGNORE,
        "LICENSE": "free",
        "README": "not in it",
        "code/a.py": "1",
        "code/deep/b.py": "2",
        "code/private/c.py": "3",
        "code/deep/__pycache__/b.pyc": "4",
    }.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def tag(context: Path, args: dict[str, str] | None = None, platform: str = PLATFORM) -> str:
    return content_tag(context, context / "Dockerfile", args or {}, platform)


def test_a_tag_is_the_same_on_every_machine(context: Path) -> None:
    for file in context.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)
    assert tag(context, {"BASE_IMAGE": "base"}) == "277a3b67331d9375"


@pytest.mark.parametrize(
    "change",
    [
        lambda it: (it / "code/a.py").write_text("other"),
        lambda it: (it / "code/a.py").rename(it / "code/z.py"),
        lambda it: (it / "code/a.py").chmod(0o755),
        lambda it: (it / "code/new.py").write_text(""),
        lambda it: (it / "LICENSE").unlink() or (it / "LICENSE").symlink_to("README"),
        lambda it: (it / "Dockerfile").write_text("FROM scratch AS other\n"),
    ],
    ids=["content", "name", "mode", "new file", "link", "Dockerfile"],
)
def test_what_decides_the_image_decides_the_tag(
    context: Path, change: Callable[[Path], object]
) -> None:
    before = tag(context)
    change(context)
    assert tag(context) != before


def test_build_arguments_and_platform_decide_the_tag(context: Path) -> None:
    tags = {
        tag(context),
        tag(context, {"A": "1"}),
        tag(context, {"A": "2"}),
        tag(context, {"B": "1"}),
        tag(context, platform="linux/arm64"),
    }
    assert len(tags) == 5


@pytest.mark.parametrize(
    "change",
    [
        lambda it: os.utime(it / "code/a.py", (0, 0)),
        lambda it: (it / "README").write_text("other"),
        lambda it: (it / "code/private/c.py").write_text("other"),
        lambda it: (it / "code/deep/__pycache__/b.pyc").write_text("other"),
    ],
    ids=["time", "outside", "ignored folder", "ignored everywhere"],
)
def test_what_is_not_in_the_image_does_not_decide_the_tag(
    context: Path, change: Callable[[Path], object]
) -> None:
    before = tag(context)
    change(context)
    assert tag(context) == before


def test_the_files_of_a_build_are_those_that_docker_gets(context: Path) -> None:
    (context / "code/linked").symlink_to("deep")
    assert [str(path) for path in context_files(context, context / "Dockerfile")] == [
        "LICENSE",
        "code/a.py",
        "code/deep/b.py",
        "code/linked",
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("!code\n", "its first line must be \\*\\*"),
        ("**\n!code/*.py\n", "'!code/\\*.py' is not understood"),
        ("**\n!**/a.py\n", "'!\\*\\*/a.py' is not understood"),
        ("**\n!code\ncode/deep\n", "'code/deep' is not understood"),
        ("**\n!code/\n", "'!code/' is not understood"),
        ("**\n**/deep\n!code\n", "'!code' is not understood"),
        ("**\n!misspelt\n", "lets in misspelt: no such file"),
    ],
)
def test_lines_that_docker_may_read_otherwise_are_refused(
    context: Path, lines: str, message: str
) -> None:
    (context / "Dockerfile.dockerignore").write_text(lines)
    with pytest.raises(pulumi.RunError, match=message):
        tag(context)


def test_without_an_ignore_file_nothing_is_guessed(context: Path) -> None:
    (context / "Dockerfile.dockerignore").unlink()
    with pytest.raises(pulumi.RunError, match="is missing: without it the whole folder"):
        tag(context)
