"""A word means one thing in the repository; an error is a class where somebody catches it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = (
    *("benchmarks", "components", "ft_serving", "local_platform", "operations"),
    *("policy", "stacks"),
)
ROOMS = [("ft_serving", room) for room in ("core", "weights", "server", "client", "openai")]

PROMISED = {"OverloadError"}
"""Documented in docs/client.md, for programs that use the library."""


@cache
def nodes() -> list[tuple[Path, bool, ast.AST]]:
    """Return the nodes of all packages, each with its path and whether it is at the top."""
    return [
        (path.relative_to(ROOT), node in module.body, node)
        for folder in PACKAGES
        for path in sorted((ROOT / folder).rglob("*.py"))
        for module in (ast.parse(path.read_text()),)
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef | ast.ExceptHandler)
    ]


def classes() -> Iterator[tuple[Path, str]]:
    """Yield the public classes at the top of each module."""
    for path, at_top, node in nodes():
        if at_top and isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield path, node.name


def test_a_classs_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path, name in classes():
        places[name].append(str(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_an_error_is_a_class_of_its_own_where_somebody_catches_it() -> None:
    caught = {
        name.id
        for _, _, node in nodes()
        if isinstance(node, ast.ExceptHandler) and node.type
        for name in ast.walk(node.type)
        if isinstance(name, ast.Name)
    }
    errors = defaultdict(list)
    for path, name in classes():
        if path.name == "errors.py" and path.parts[:2] in ROOMS:
            errors[path].append(name)
    for path, names in errors.items():
        assert len(path.parts) == 3, f"{path}: its room has one errors.py"
        unknown = set(names[1:]) - caught - PROMISED
        assert not unknown, f"{path}: the first is the room's base, and who catches these?"
