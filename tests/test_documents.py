"""Paths, modules and links in documents, comments and docstrings exist."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATH = re.compile(r"(?<![\w./@{}:-])[\w.-]+/(?:[\w.*-]+/?)+")
MODULE = re.compile(
    r"(?<![\w./])(?:ft_serving|stacks|components|operations|policy|local_platform)(?:\.\w+)+"
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
OTHERS = {
    "docs/gpt_guide.md": "a file of FasterTransformer's repository",
    "docs/metrics": "a folder of kube-state-metrics's repository",
    "docs/spec.md": "a file of git-lfs's repository",
    "ft_serving.commands": "the name of an entry point",
}
"""Names that look like a path or a module of this repository, and are neither."""

SAID = re.compile(r"(?m:(?:^ *|  )# (.*)$)|(?ms:^ *\"{3}(.*?)\"{3})")
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


@cache
def tracked() -> frozenset[str]:
    """Return all files and folders of the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [Path(name) for name in listed.stdout.split("\0") if (ROOT / name).is_file()]
    return frozenset(str(each) for file in files for each in (file, *file.parents))


def documents() -> Iterator[tuple[str, str]]:
    """Yield each Markdown file but the changes, without the blocks that show commands and trees."""
    for name in sorted(tracked()):
        if name.endswith(".md") and name != "CHANGELOG.md":
            yield name, FENCED.sub("", (ROOT / name).read_text())


@cache
def comments() -> list[tuple[str, str]]:
    """Return the comments and docstrings of each module; a docstring begins its line."""
    sources = {name: (ROOT / name).read_text() for name in tracked() if name.endswith(".py")}
    return [
        (name, "\n".join(chain(*SAID.findall(source)))) for name, source in sorted(sources.items())
    ]


def is_there(path: str) -> bool:
    """Return whether a path from the root leads to something; NAME stands for any name."""
    pattern = path.rstrip("/.").replace("NAME", "*")
    return pattern in tracked() or ("*" in pattern and any(ROOT.glob(pattern)))


def names_something(module: str) -> bool:
    """Return whether a dotted name is that of a package, of a module, or of something in one."""
    path, *rest = ROOT / module.partition(".")[0], *module.split(".")[1:]
    while rest and ((path / rest[0]).is_dir() or (path / f"{rest[0]}.py").is_file()):
        path = path / rest.pop(0)
    if not rest:
        return True
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return bool(re.search(rf"\b{rest[0]}\b", file.read_text()))


def test_paths_that_are_named_exist() -> None:
    tops = {name for name in tracked() if "/" not in name}
    missing = [
        f"{name}: {path}"
        for name, text in (*documents(), *comments())
        for path in PATH.findall(text)
        if path.partition("/")[0] in tops and path not in OTHERS and not is_there(path)
    ]
    assert missing == []


def test_modules_that_are_named_exist() -> None:
    missing = [
        f"{name}: {module}"
        for name, text in (*documents(), *comments())
        for module in MODULE.findall(text)
        if not module.endswith(".yaml") and module not in OTHERS and not names_something(module)
    ]
    assert missing == []


def test_links_between_documents_lead_somewhere() -> None:
    missing = []
    for name, text in documents():
        for link in LINK.findall(text):
            target, _, heading = link.partition("#")
            if "://" in link:
                continue
            file = (ROOT / name).parent / target if target else ROOT / name
            if not file.exists():
                missing.append(f"{name}: {link}")
            elif heading and heading not in headings(file.read_text()):
                missing.append(f"{name}: {link} has no such heading")
    assert missing == []


def headings(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).strip().replace(" ", "-") for line in found}
