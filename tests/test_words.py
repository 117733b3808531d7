"""A word means one thing in the repository; an error is a class where somebody catches it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "benchmarks",
    "components",
    "ft_serving",
    "local_platform",
    "operations",
    "policy",
    "stacks",
)
ROOMS = ("core", "weights", "server", "client")

PROMISED = {"OverloadError"}
"""Documented in docs/client.md, for programs that use the library."""


def trees(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    """Each module of packages, parsed."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text())


def test_a_classs_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path, module in trees(*PACKAGES):
        for node in module.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_an_error_is_a_class_of_its_own_where_somebody_catches_it() -> None:
    rooms = [f"ft_serving/{room}" for room in ROOMS]
    caught = {
        name.id
        for _, module in trees(*PACKAGES)
        for node in ast.walk(module)
        if isinstance(node, ast.ExceptHandler) and node.type
        for name in ast.walk(node.type)
        if isinstance(name, ast.Name)
    }
    for path, module in trees(*rooms):
        if path.name != "errors.py":
            continue
        assert len(path.parts) == 3, f"{path}: its room has one errors.py"
        classes = [node.name for node in module.body if isinstance(node, ast.ClassDef)]
        unknown = set(classes[1:]) - caught - PROMISED
        assert not unknown, f"{path}: the first is the room's base, and who catches these?"
