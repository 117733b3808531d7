"""The base of all sections, and the rules of settings that several have."""

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from stacks.errors import any_of
from stacks.quantities import BYTES_PATTERN


def setting(
    description: str,
    *,
    must: str,
    use: str,
    **constraints: Any,  # noqa: ANN401 - as pydantic's Field has them
) -> Any:  # noqa: ANN401 - it stands for a value of the field's type, as Field does
    """Describe a setting.

    Args:
        description: Its meaning, for the table and the schema.
        must: The rule of its value, behind "must".
        use: A value to give instead of one that breaks the rule.
        constraints: As pydantic's `Field` takes them.
    """
    told = {"must": must, "use": use}
    return Field(description=description, json_schema_extra={**told}, **constraints)


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
    )


def whole(least: int, most: int) -> dict[str, Any]:
    """Return the rule of a whole number in a range."""
    return {
        "must": "be a whole number in its range",
        "use": f"{least} to {most}",
        "ge": least,
        "le": most,
    }


def one_of(names: Iterable[str]) -> dict[str, str]:
    """Return the rule of a choice."""
    return {"must": "be one of the choices", "use": any_of(list(names))}


def named(names: Iterable[str]) -> dict[str, Any]:
    """Return the rule of a name that a table has; editors complete it."""
    known = list(names)
    return {**one_of(known), "pattern": f"^({'|'.join(known)})$", "examples": known}


SIZE: dict[str, Any] = {"must": "be a size such as 150Gi", "pattern": BYTES_PATTERN}
"""The rule of a size, whose use is each setting's own."""

FLAG: dict[str, Any] = {"must": "be a truth value", "use": "true or false"}
