"""What editors and readers are told."""

import json
import re
from typing import Any

import pytest

from stacks.schema import DOCUMENT, SCHEMA, document_text, schema_text
from tests.stacks.documents import ROOT, SHIPPED, shipped

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


def test_the_table_has_every_setting_with_its_default() -> None:
    document = DOCUMENT.read_text()
    assert "| `serving.mode` | KServe's deployment mode. | " in document
    assert re.search(r"\| `replicas.max` \|.*\| `1` \|", document)
    assert re.search(r"\| `model.revision` \|.*\| required \|", document)


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


def _resolved(part: Any, schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    found: dict[str, Any] = part
    return found


@pytest.mark.parametrize("stack", SHIPPED)
def test_the_schema_knows_every_setting_of_every_stack(stack: str, schema: dict[str, Any]) -> None:
    known = schema["properties"]["config"]["properties"]
    for name, value in shipped(stack).items():
        section = _resolved(known[f"ft-serving:{name}"], schema)
        assert set(value) <= set(section["properties"]), name
        assert set(section.get("required", [])) <= set(value), name
        assert section["additionalProperties"] is False


def test_the_schema_refuses_unknown_sections_and_plain_secrets(schema: dict[str, Any]) -> None:
    config = schema["properties"]["config"]
    ((pattern, verdict),) = config["patternProperties"].items()
    assert verdict is False
    assert re.search(pattern, "ft-serving:gpus")
    assert not re.search(pattern, "ft-serving:gpu")
    assert not re.search(pattern, "kubernetes:context")
    assert config["properties"]["ft-serving:hubToken"]["required"] == ["secure"]


def test_the_schema_tells_rules_in_descriptions_and_has_no_words_of_its_own() -> None:
    text = schema_text()
    assert '"must"' not in text
    assert '"use"' not in text
    assert "GPUs that share each layer. Must be a whole number in its range: 1 to 64." in text
