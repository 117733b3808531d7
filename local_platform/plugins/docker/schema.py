"""The shape of an image's inputs, as pulumi-docker's `ImageArgs` has it."""

from collections.abc import Iterator, Mapping
from enum import Enum

from local_platform.plugins.docker.errors import InputError
from local_platform.plugins.values import UNKNOWN, Value


class Kind(Enum):
    """What an input may be; the value says it to the user."""

    TEXT = "a string"
    FLAG = "true or false"
    TEXTS = "a list of strings"
    TEXTS_BY_NAME = "an object of strings"
    BUILDER = '"BuilderBuildKit" or "BuilderV1"'


Schema = Mapping[str, "Kind | Schema"]

IMAGE: Schema = {
    "imageName": Kind.TEXT,
    "skipPush": Kind.FLAG,
    "buildOnPreview": Kind.FLAG,
    "registry": {"server": Kind.TEXT, "username": Kind.TEXT, "password": Kind.TEXT},
    "build": {
        "addHosts": Kind.TEXTS,
        "args": Kind.TEXTS_BY_NAME,
        "builderVersion": Kind.BUILDER,
        "cacheFrom": {"images": Kind.TEXTS},
        "context": Kind.TEXT,
        "dockerfile": Kind.TEXT,
        "network": Kind.TEXT,
        "platform": Kind.TEXT,
        "target": Kind.TEXT,
    },
}


def malformed(
    values: Mapping[str, Value], schema: Schema = IMAGE, path: str = ""
) -> Iterator[InputError]:
    """What is not of the schema's shape. Unknown values fit everywhere."""
    for name, value in values.items():
        here = f"{path}{name}"
        kind = schema.get(name)
        if kind is None:
            names = ", ".join(schema)
            yield InputError(here, f"there is no such input; there are {names}")
        elif value is UNKNOWN:
            continue
        elif isinstance(kind, Kind):
            if not _fits(kind, value):
                # The value stays out of the message: it may be a secret.
                yield InputError(here, f"must be {kind.value}")
        elif isinstance(value, Mapping):
            yield from malformed(value, kind, f"{here}.")
        else:
            yield InputError(here, "must be an object")


def _fits(kind: Kind, value: Value) -> bool:
    match kind:
        case Kind.TEXT:
            return isinstance(value, str)
        case Kind.FLAG:
            return isinstance(value, bool)
        case Kind.TEXTS:
            return isinstance(value, list) and all(_is_text(item) for item in value)
        case Kind.TEXTS_BY_NAME:
            return isinstance(value, Mapping) and all(_is_text(item) for item in value.values())
        case Kind.BUILDER:
            return value in ("BuilderBuildKit", "BuilderV1")


def _is_text(value: Value) -> bool:
    return value is UNKNOWN or isinstance(value, str)
