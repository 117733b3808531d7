"""A summary as a comment, as text and as JSON: readable, within its limit, and harmless."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from operations.preview.compare import Action, Change, Resource, compare
from operations.preview.formats import COMMENT_BYTES, MARKER, as_json, markdown, text
from operations.preview.summary import StackSummary
from operations.recording.listing import SECRET
from tests.operations.preview.states import claim, in_text, previewed, summary, summary_with

HOSTILE = [
    "a|b",
    "`code`",
    "```\n```\n</details>",
    "two\nlines",
    "<script>alert(1)</script>",
    "<!-- ft-serving preview -->",
    "@everyone",
    "\x1b[31mred\u202eesrever\u2028line",
    "x" * 60_000,
]


def outside_of_fences(comment: str) -> str:
    return re.sub(r"^(`{3,})diff\n.*?^\1$", "", comment, flags=re.MULTILINE | re.DOTALL)


def test_a_comment_is_a_table_then_dangers_then_details() -> None:
    head = {"storage.storageClass": "fast", "cost.gpuHour": {"RTX_A5000": 0.5}}
    comment = markdown(summary(previewed("prod", head), previewed("dev", {})))
    lines = comment.splitlines()
    assert lines[0] == MARKER
    assert lines[3:7] == [
        "| stack | create | update | replace | delete | GPUs | cost per hour |",
        "|---|---|---|---|---|---|---|",
        "| `prod` |  |  | 1 |  | 4 to 32 RTX_A5000 | 2.00 to 16.00 USD |",
        "| `dev` | no change |  |  |  | none | none |",
    ]
    assert lines[8] == "> [!CAUTION]"
    assert lines[9].startswith("> - **`prod`**: PersistentVolumeClaim `ft-serving-models` would be")
    opened = lines.index("<details><summary>prod: 1 to replace</summary>")
    assert lines[opened + 1 : opened + 8] == [
        "",
        "```diff",
        "! replace PersistentVolumeClaim ft-serving-models",
        '    spec.storageClassName: (none) → "fast"  (needs a new one)',
        "```",
        "",
        "</details>",
    ]
    assert lines[-1] == "Compared with `HEAD^1`, both rendered."
    assert "<summary>dev" not in comment, "nothing is said of a stack that stays"


def with_class(value: str) -> StackSummary:
    return summary_with(compare([claim()], [claim(storage_class=value)]))


def refused(value: str) -> StackSummary:
    return StackSummary(stack="prod", refused=f"it: must be\n{value}")


@pytest.mark.parametrize("stack", [with_class, refused])
@pytest.mark.parametrize("value", HOSTILE, ids=lambda it: ascii(it)[:20])
def test_no_value_and_no_message_is_markup_or_moves_the_cursor(
    value: str, stack: Callable[[str], StackSummary]
) -> None:
    comment = markdown(summary(stack(value)))
    assert outside_of_fences(comment) == outside_of_fences(markdown(summary(stack("new"))))
    assert len(comment.encode()) <= COMMENT_BYTES
    for character in "\x1b\u202e\u2028":
        assert character not in comment + text(summary(stack(value)))


@pytest.mark.parametrize("name", HOSTILE[:-1], ids=lambda it: ascii(it)[:20])
def test_no_name_is_markup(name: str) -> None:
    changes = compare([claim(name, "old")], [claim(name, "new")])
    comment = outside_of_fences(markdown(summary(summary_with(changes, stack=name))))
    table = comment.splitlines()[5]
    assert len(re.findall(r"(?<!\\)\|", table)) == 8, "seven columns"
    without_code = re.sub(r"`[^`\n]*`", "", comment.removeprefix(MARKER))
    for markup in ("<script", "<!--", "@everyone", "</details>\n</details>"):
        assert markup not in without_code
    assert len(comment.splitlines()) == len(
        outside_of_fences(markdown(summary(summary_with(changes, stack="prod")))).splitlines()
    )


def test_a_refusal_of_the_configuration_is_shown_in_full() -> None:
    wrong = StackSummary(stack="prod", refused="gpu.type: must be …\nstorage.size: must be …")
    comment = markdown(summary(wrong, StackSummary(stack="dev")))
    assert "| `prod` | refused |  |  |  |  |  |" in comment
    assert "```diff\ngpu.type: must be …\nstorage.size: must be …\n```" in comment
    assert json.loads(as_json(summary(wrong)))["stacks"]["prod"] == {
        "refused": ["gpu.type: must be …", "storage.size: must be …"]
    }


def test_a_comment_is_no_longer_than_github_takes_and_names_the_command_for_the_rest() -> None:
    many = tuple(
        Change(action=Action.CREATE, resource=Resource(type="a:b:Job", name=f"ü{i}" * 9, inputs={}))
        for i in range(3000)
    )
    comment = markdown(
        summary(
            summary_with(many, "one"), summary_with(many[:9], "two"), StackSummary(stack="three")
        )
    )
    assert len(comment.encode()) <= COMMENT_BYTES
    assert "one: 3000 lines, too many for a comment; `ft-serving preview --stack one`" in comment
    assert comment.count("+ create Job") == 9, "a section is whole or not there"
    assert comment.splitlines()[-1].startswith("Compared with")
    assert "| `three` | no change |" in comment, "the table is never cut"
    assert text(summary(summary_with(many))).count("create Job") == 3000


def test_a_long_value_shows_where_it_differs() -> None:
    same = "--option=" + "y" * 500
    changes = compare([claim("models", same + "old")], [claim("models", same + "new")])
    lines = in_text(summary_with(changes))
    (line,) = [it for it in lines if it.startswith("      spec.")]
    assert 'yyyold" → …' in line
    assert 'yyynew"' in line
    assert len(line) < 200


def test_a_secret_that_changes_is_said_to_change_and_never_shown() -> None:
    def secret(fingerprint: str) -> Resource:
        inputs: dict[str, Any] = {"stringData": {"token": {SECRET: fingerprint}}}
        return Resource(type="kubernetes:core/v1:Secret", name="hub", inputs=inputs)

    stack = summary_with(compare([secret("123456789abc")], [secret("cba987654321")]))
    for write in (text, markdown, as_json):
        written = write(summary(stack))
        assert "123456789abc" not in written
        assert "cba987654321" not in written
    assert "stringData.token: [secret] → [secret]  (needs a new one)" in text(summary(stack))


def test_programs_get_every_value_and_the_cost() -> None:
    head = {"replicas.max": 16, "cost.gpuHour": {"RTX_A5000": 0.5}}
    prod = json.loads(as_json(summary(previewed("prod", head))))["stacks"]["prod"]
    assert prod["before"] == {"gpu": "RTX_A5000", "gpus": [4, 32], "costPerHour": [2.0, 16.0]}
    assert prod["after"] == {"gpu": "RTX_A5000", "gpus": [4, 64], "costPerHour": [2.0, 32.0]}
    (service,) = [it for it in prod["changes"] if it["type"].endswith(":InferenceService")]
    assert service["action"] == "update"
    assert service["properties"] == [
        {"path": "spec.predictor.maxReplicas", "old": 8, "new": 16, "replaces": False}
    ]
