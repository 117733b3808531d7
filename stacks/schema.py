"""The settings' schema and table in docs/; `python -m stacks.schema` renews them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from stacks.config import SECRETS, StackConfig
from stacks.load import PROJECT
from stacks.parse import section_type
from stacks.sections import Section

_DOCS = Path(__file__).parent.parent / "docs"
SCHEMA = _DOCS / "configuration.schema.json"
DOCUMENT = _DOCS / "configuration.md"
_BEGIN, _END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"


def schema_text() -> str:
    """Return the JSON schema of `Pulumi.*.yaml`."""
    inner = StackConfig.model_json_schema(by_alias=True)
    definitions = {name: _told(one) for name, one in inner["$defs"].items()}
    sections = inner["properties"]
    known = "|".join([*sections, *SECRETS])
    secret = {
        "type": "object",
        "properties": {"secure": {"type": "string"}},
        "required": ["secure"],
        "additionalProperties": False,
        "description": "A secret: `pulumi config set --secret`.",
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A stack of ft-serving (Pulumi.STACK.yaml)",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{PROJECT}:{name}": _told(one) for name, one in sections.items()}
                | {f"{PROJECT}:{name}": secret for name in SECRETS},
                "patternProperties": {f"^{PROJECT}:(?!({known})$)": False},
                "required": [f"{PROJECT}:{name}" for name in inner["required"]],
            }
        },
        "required": ["config"],
        "$defs": definitions,
    }
    return json.dumps(schema, indent=2) + "\n"


def table_text() -> str:
    """Return the table of all settings, in Markdown."""
    head = "| setting | meaning | must | such as | default |\n|---|---|---|---|---|\n"
    return head + "".join(
        row
        for field in StackConfig.model_fields.values()
        for row in _rows(field, str(field.alias or ""))
    )


def document_text(document: str) -> str:
    """Return the document with its table as it should be.

    Args:
        document: Has the two markers that the table stands between.
    """
    before, _, rest = document.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    return f"{before}{_BEGIN}\n{table_text()}\n{_END}{after}"


def _told(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Fold each setting's rule into its description, which is what editors show."""
    if isinstance(schema, list):
        return [_told(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "must" in schema and isinstance(schema["must"], str):
        schema = {
            **schema,
            "description": f"{schema['description']} Must {schema['must']}: {schema['use']}.",
        }
        del schema["must"], schema["use"]
    return {
        key: _told(one) for key, one in schema.items() if key != "title" or not isinstance(one, str)
    }


def _rows(field: FieldInfo, path: str) -> Iterator[str]:
    section = section_type(field.annotation)
    extra = field.json_schema_extra
    if isinstance(extra, dict):
        cells = [f"`{path}`", field.description, extra["must"], extra["use"], _default(field)]
        yield f"| {' | '.join(map(str, cells))} |\n"
    if section is not None:
        item = f"{path}[]" if "tuple" in str(field.annotation) else path
        for inner in section.model_fields.values():
            yield from _rows(inner, f"{item}.{inner.alias}")


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    if field.default is None or isinstance(field.default, Section) or field.default in ((), {}):
        return ""
    return f"`{json.dumps(field.default).strip(chr(34))}`"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
    DOCUMENT.write_text(document_text(DOCUMENT.read_text()))
