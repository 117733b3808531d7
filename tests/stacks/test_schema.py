"""The schema and the table of settings."""

import json
import re
from typing import Any

import pytest

from stacks.schema import DOCUMENT, SCHEMA, document_text, schema_text
from tests.stacks.documents import ROOT, SHIPPED

STALE = "settings have changed: run `python -m stacks.schema`"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(SCHEMA.read_text())
    return found


def test_the_schema_is_current() -> None:
    assert SCHEMA.read_text() == schema_text(), STALE


def test_the_table_is_current() -> None:
    document = DOCUMENT.read_text()
    assert document == document_text(document), STALE


def test_the_example_errors_are_what_is_said() -> None:
    cases = (ROOT / "tests" / "stacks" / "refusals.yaml").read_text()
    told = " ".join(cases.split())
    examples = re.findall(r"```\n(gpu\..*?)```", DOCUMENT.read_text(), re.DOTALL)
    lines = [line for example in examples for line in example.splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert line in told


@pytest.mark.parametrize("stack", SHIPPED)
def test_every_stack_names_the_schema_for_editors(stack: str) -> None:
    first = (ROOT / f"Pulumi.{stack}.yaml").read_text().partition("\n")[0]
    assert first == "# yaml-language-server: $schema=docs/configuration.schema.json"


def test_the_schema_refuses_unknown_sections_and_plain_secrets(schema: dict[str, Any]) -> None:
    config = schema["properties"]["config"]
    ((pattern, verdict),) = config["patternProperties"].items()
    assert verdict is False
    assert re.search(pattern, "ft-serving:gpus")
    assert not re.search(pattern, "ft-serving:gpu")
    assert not re.search(pattern, "kubernetes:context")
    assert config["properties"]["ft-serving:hubToken"]["required"] == ["secure"]
