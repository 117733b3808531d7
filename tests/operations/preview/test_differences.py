"""The properties that differ are found and named."""

import pytest

from operations.preview.differences import ABSENT, differences

BOTH = [
    ({"a": 1}, {"a": 1}, {}),
    ({"a": {"b": 1}}, {"a": {"b": 2}}, {"a.b": (1, 2)}),
    ({"a": 1}, {}, {"a": (1, ABSENT)}),
    ({"a": None}, {}, {"a": (None, ABSENT)}),
    ({"a": ["x", "y"]}, {"a": ["x", "z"]}, {"a[1]": ("y", "z")}),
    ({"a": ["x", "y"]}, {"a": ["y"]}, {"a": (["x"], ABSENT)}),
    ({"a": ["x"]}, {"a": ["x", "x"]}, {"a": (["x"], ["x", "x"])}),
    (
        {"c": [{"name": "one", "image": "a"}, {"name": "two", "image": "b"}]},
        {"c": [{"name": "two", "image": "c"}, {"name": "one", "image": "a"}]},
        {"c.two.image": ("b", "c")},
    ),
    ({"c": [{"x": 1}, {"x": 2}]}, {"c": [{"x": 1}, {"x": 3}]}, {"c[1].x": (2, 3)}),
    ({"a": {"b.c/d": 1}}, {"a": {"b.c/d": 2}}, {"a['b.c/d']": (1, 2)}),
    ({"a": {"": 1}}, {"a": {"": 2}}, {"a['']": (1, 2)}),
    ({"a": "1"}, {"a": 1}, {"a": ("1", 1)}),
]


@pytest.mark.parametrize(("old", "new", "expected"), BOTH)
def test_the_innermost_properties_that_differ_are_named(
    old: object, new: object, expected: dict[str, object]
) -> None:
    assert {str(it): (it.old, it.new) for it in differences(old, new)} == expected


@pytest.mark.parametrize(
    ("rule", "lies_in"),
    [(("spec",), True), (("spec", "a", "b", "c"), True), (("spec", "ab"), False), (("s",), False)],
)
def test_a_rule_is_about_what_is_below_it_and_about_what_holds_it(
    rule: tuple[str, ...], lies_in: bool
) -> None:
    (item,) = differences({"spec": {"a": {"b": 1}}}, {"spec": {"a": {"b": 2}}})
    assert item.lies_in(rule) is lies_in
