"""Reads a configuration, and names all its problems at once, each with its remedy."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from stacks.config import HUB_TOKEN, REGISTRY_PASSWORD, SECRETS, StackConfig
from stacks.errors import ConfigError, Problem, shown
from stacks.rules import broken_rules
from stacks.sections import Section

_Location = tuple[int | str, ...]

_SECTIONS = {field.alias or name: name for name, field in StackConfig.model_fields.items()}
"""From the names of sections in YAML to those in Python."""


def parse_config(document: Mapping[str, object], secrets: frozenset[str]) -> StackConfig:
    """Check a stack's configuration.

    Args:
        document: The sections by their names in YAML, as plain values.
        secrets: Those of `SECRETS` that are set; their values are not needed here.

    Raises:
        ConfigError: Something is wrong; its message has a line for each problem.
    """
    problems = list(_unknown_sections(document))
    sections: dict[str, Section | None] = {}
    for alias, name in _SECTIONS.items():
        field = StackConfig.model_fields[name]
        given = document.get(alias)
        if given is None and not field.is_required():
            sections[name] = field.default
            continue
        try:
            sections[name] = _read_section(field, alias, {} if given is None else given)
        except ConfigError as exc:
            problems += exc.problems
    problems += broken_rules(sections)
    problems += _secret_problems(sections, secrets)
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return StackConfig.model_validate({alias: sections[name] for alias, name in _SECTIONS.items()})


def _read_section(field: FieldInfo, alias: str, value: object) -> Section:
    kind = section_type(field.annotation)
    assert kind is not None, alias  # noqa: S101 - every field of StackConfig is a section
    if not isinstance(value, Mapping):
        raise ConfigError([_not_a_group(kind, alias, value)])
    try:
        # As JSON, because a strict validator takes a member of an enumeration from JSON only.
        return TypeAdapter(kind).validate_json(
            json.dumps(value, default=str), by_alias=True, by_name=False
        )
    except ValidationError as exc:
        errors = {error["loc"]: error["type"] for error in exc.errors(include_url=False)}
        raise ConfigError(
            [
                _problem(kind, alias, value, location, error)
                for location, error in errors.items()
                # A list is too short, too, when an item of it is wrong.
                if not any(other[:-1] == location for other in errors)
            ]
        ) from exc


def section_type(annotation: object) -> type[Section] | None:
    """Return the section that an annotation such as `Section | None` is about, if it is."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    for argument in get_args(annotation):
        if found := section_type(argument):
            return found
    return None


def _problem(
    kind: type[Section], alias: str, value: object, location: _Location, error: str
) -> Problem:
    """Return pydantic's error in the words of the innermost setting that it is in."""
    path, field, owner = alias, None, kind
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
        by_alias = {each.alias: each for each in owner.model_fields.values()}
        if part in by_alias:
            field = by_alias[part]
            owner = section_type(field.annotation) or owner
        value = _inside(value, part)
    if error == "extra_forbidden":
        return _unknown(path, list(by_alias))
    told = field.json_schema_extra if field else None
    assert isinstance(told, dict), path  # noqa: S101 - every field comes from `setting`
    return Problem(path, f"must {told['must']}", shown(value), str(told["use"]))


def _inside(value: object, part: int | str) -> object:
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int):
        return value[part]
    return None


def _not_a_group(kind: type[Section], path: str, value: object) -> Problem:
    names = [str(field.alias) for field in kind.model_fields.values()]
    return Problem(path, "must be a group of settings", shown(value), ", ".join(names))


def _unknown(path: str, known: list[Any]) -> Problem:
    """Never shows the value: it may be a password in a place where none belongs."""
    name = path.rpartition(".")[2]
    by_lower = {str(each).replace("-", "").lower(): str(each) for each in known}
    simple = name.replace("_", "").replace("-", "").lower()
    close = difflib.get_close_matches(simple, by_lower, n=1, cutoff=0.7)
    use = by_lower[close[0]] if close else ", ".join(map(str, known))
    shown_path = path if path.replace(".", "").isprintable() and path else repr(path)
    return Problem(shown_path, "is no setting", "a value", use)


def _unknown_sections(document: Mapping[str, object]) -> Iterator[Problem]:
    for name in document:
        if name not in _SECTIONS:
            yield _unknown(str(name), [*_SECTIONS, *SECRETS])


def _secret_problems(sections: Mapping[str, Any], secrets: frozenset[str]) -> Iterator[Problem]:
    image, hub = sections.get("image"), sections.get("hub")
    if image and (image.username is None) == (REGISTRY_PASSWORD in secrets):
        missing, use = ("the username", "the registry's user")
        if image.username:
            missing, use = ("the password", f"pulumi config set --secret {REGISTRY_PASSWORD}")
        rule = f"must be set together with the secret {REGISTRY_PASSWORD}"
        yield Problem("image.username", rule, f"nothing for {missing}", use)
    if hub and HUB_TOKEN in secrets and not hub.endpoint.startswith("https://"):
        rule = f"must be https while the secret {HUB_TOKEN} is set, which anyone could read"
        use = f"an https address, or no {HUB_TOKEN}"
        yield Problem("hub.endpoint", rule, shown(hub.endpoint), use)
