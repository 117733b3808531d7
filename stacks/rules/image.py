"""Within the images."""

import re
from collections.abc import Mapping

from stacks.errors import Problem, shown
from stacks.rules.base import Problems, Rule
from stacks.sections import Images

_ARGUMENT = re.compile(r"[A-Z][A-Z0-9_]*")
_TAGGED = re.compile(
    r"[a-z0-9][A-Za-z0-9.:_/-]*(@sha256:[0-9a-f]{64}|:[A-Za-z0-9_][A-Za-z0-9_.-]*)"
)


def _sources(image: Images) -> Problems:
    sources = {"server": image.server, "weights": image.weights, "client": image.client}
    for name, source in sources.items():
        path = f"image.{name}"
        if source.existing is not None and source.args:
            yield Problem(
                path=path,
                rule="must be an existing image, or built with args",
                got="both",
                use="one of them",
            )
        yield from _arguments(f"{path}.args", source.args)


def _arguments(path: str, arguments: Mapping[str, str]) -> Problems:
    for name, value in arguments.items():
        if not _ARGUMENT.fullmatch(name):
            yield Problem(
                path=f"{path}.{name}",
                rule="must be named as Dockerfiles name arguments",
                got=shown(name),
                use="a name such as BASE_IMAGE",
            )
        elif name.endswith("_IMAGE") and not _is_pinned(value):
            yield Problem(
                path=f"{path}.{name}",
                rule="must be an image by its digest, or by a tag other than latest",
                got=shown(value),
                use="HOST/NAME@sha256:DIGEST",
            )


def _is_pinned(reference: str) -> bool:
    last = reference.rpartition("/")[2]
    return bool(_TAGGED.fullmatch(reference)) and ":" in last and not last.endswith(":latest")


RULES = (Rule(sections=("image",), check=_sources),)
