"""The digest of a build context, and the ignore files that it honours."""

import os
from pathlib import Path
from typing import Any

import pytest

from local_platform.plugins.docker import ignore
from local_platform.plugins.docker.context import digest, files
from local_platform.plugins.docker.errors import ContextError
from tests.images.context import context_files
from tests.images.dockerfile import IMAGES, NAMES, ROOT


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "context"
    (folder / "src" / "deep").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\n")
    for name in ("a.txt", "src/b.txt", "src/deep/c.log", "src/deep/d.txt"):
        (folder / name).write_text(name)
    return folder


def ignored(context: Path, rules: str, path: str) -> bool:
    """Whether a file can change without the digest changing, under an ignore file's rules."""
    (context / ".dockerignore").write_text(rules)
    before = digest(context, context / "Dockerfile")
    (context / path).write_text("changed")
    return digest(context, context / "Dockerfile") == before


def test_the_same_files_have_the_same_digest_in_any_folder(context: Path, tmp_path: Path) -> None:
    before = digest(context, context / "Dockerfile")
    moved = context.rename(tmp_path / "moved")
    assert digest(moved, moved / "Dockerfile") == before


def test_content_mode_name_and_the_dockerfile_each_change_the_digest(context: Path) -> None:
    def now() -> str:
        return digest(context, context / "Dockerfile")

    seen = [now()]
    (context / "a.txt").write_text("other")
    seen.append(now())
    (context / "a.txt").chmod(0o755)
    seen.append(now())
    (context / "a.txt").rename(context / "z.txt")
    seen.append(now())
    (context / "Dockerfile").write_text("FROM scratch\nUSER 1\n")
    seen.append(now())
    (context / "link").symlink_to("z.txt")
    seen.append(now())
    (context / "link").unlink()
    (context / "link").symlink_to("src/b.txt")
    seen.append(now())
    assert len(set(seen)) == len(seen)


def test_a_dockerfile_outside_the_context_counts(context: Path, tmp_path: Path) -> None:
    outside = tmp_path / "Dockerfile"
    outside.write_text("FROM scratch\n")
    before = digest(context, outside)
    outside.write_text("FROM scratch\nUSER 1\n")
    assert digest(context, outside) != before


def test_moving_text_between_two_files_changes_the_digest(tmp_path: Path) -> None:
    digests = set()
    for index, (name, text) in enumerate((("ab", "c"), ("a", "bc"))):
        folder = tmp_path / str(index)
        folder.mkdir()
        (folder / "Dockerfile").write_text("FROM scratch\n")
        (folder / name).write_text(text)
        digests.add(digest(folder, folder / "Dockerfile"))
    assert len(digests) == 2, "names and contents may not run into each other"


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ("a.txt", "a.txt"),
        ("/a.txt", "a.txt"),
        ("./a.txt", "a.txt"),
        ("  a.txt  ", "a.txt"),
        ("*.txt", "a.txt"),
        ("?.txt", "a.txt"),
        ("[a-c].txt", "a.txt"),
        ("src", "src/deep/c.log"),
        ("src/", "src/deep/c.log"),
        ("src/*", "src/deep/c.log"),
        ("src/**", "src/deep/c.log"),
        ("**/*.log", "src/deep/c.log"),
        ("**/deep", "src/deep/c.log"),
        ("src/**/c.log", "src/deep/c.log"),
        ("*/deep", "src/deep/d.txt"),
        ("!a.txt\n*", "a.txt"),
        ("**\n!src\nsrc/deep", "src/deep/d.txt"),
        ("**\n!src/deep/d.txt", "src/deep/c.log"),
    ],
)
def test_what_an_ignore_file_leaves_out_does_not_count(
    context: Path, rules: str, path: str
) -> None:
    assert ignored(context, rules, path)


@pytest.mark.parametrize(
    ("rules", "path"),
    [
        ("", "a.txt"),
        ("# a.txt", "a.txt"),
        ("b.txt", "src/b.txt"),
        ("*.txt", "src/b.txt"),
        ("*.log", "src/deep/c.log"),
        ("sr", "src/b.txt"),
        ("A.TXT", "a.txt"),
        ("a.tx", "a.txt"),
        ("axtxt", "a.txt"),
        ("[!a].txt", "src/b.txt"),
        ("src/*.txt", "src/deep/d.txt"),
        ("*\n!a.txt", "a.txt"),
        ("**\n!src", "src/deep/c.log"),
        ("**\n!src/deep/d.txt", "src/deep/d.txt"),
        ("**\n!**/d.txt", "src/deep/d.txt"),
        ("src\n!src/*/c.log", "src/deep/c.log"),
        ("src/deep\n!src", "src/deep/c.log"),
    ],
)
def test_what_an_ignore_file_lets_in_counts(context: Path, rules: str, path: str) -> None:
    assert not ignored(context, rules, path)


def test_an_ignore_file_of_the_dockerfile_goes_before_that_of_the_context(context: Path) -> None:
    (context / "Dockerfile.dockerignore").write_text("a.txt\n")
    assert ignored(context, "src\nDockerfile*\n", "a.txt")
    assert not ignored(context, "src\nDockerfile*\n", "src/b.txt")


def test_a_folder_that_nothing_lets_in_again_is_not_read(
    context: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    scandir = os.scandir

    def reading(folder: Path) -> Any:
        read.append(folder.relative_to(context).as_posix())
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", reading)
    (context / ".dockerignore").write_text("**\n!src/b.txt\n")
    digest(context, context / "Dockerfile")
    assert read == [".", "src"], "a virtual environment in the context would take seconds"


@pytest.mark.parametrize("name", NAMES)
def test_this_projects_images_are_built_from_the_files_that_their_ignore_files_let_in(
    name: str,
) -> None:
    patterns = ignore.read(ROOT, IMAGES / name / "Dockerfile")
    found = [path.relative_to(ROOT) for path in files(ROOT, patterns)]
    assert sorted(found) == context_files(name)


@pytest.mark.parametrize("rules", ["a\n!\n", "a\n[b-a]\n"])
def test_a_malformed_line_is_told_with_its_place(context: Path, rules: str) -> None:
    (context / ".dockerignore").write_text(rules)
    with pytest.raises(ContextError, match=r"\.dockerignore, line 2: "):
        digest(context, context / "Dockerfile")


def test_a_file_that_cannot_be_read_is_told(context: Path) -> None:
    (context / "Dockerfile").unlink()
    with pytest.raises(ContextError, match="Dockerfile"):
        digest(context, context / "Dockerfile")
