"""The rule against passwords and tokens in specifications, which all who may see a pod see."""

import re
from collections.abc import Iterator, Mapping

from policy.pods import Container, pods
from policy.resource import (
    BUILT_IMAGE,
    UNKNOWN,
    StackResource,
    items_of,
    mapping_at,
    mappings_of,
    resource_rule,
)

_SECRET_WORDS = frozenset(
    {
        *("credential", "credentials", "key", "passphrase", "passwd", "password", "pwd"),
        *("secret", "token"),
    }
)
"""Last words of names that hold secrets: of `HF_TOKEN`, and not of `TOKEN_FILE`."""

_SECRET_VALUES = re.compile(
    r"""
    \b(hf|ghp|gho|ghs|github_pat|glpat|xox[abp])[_-][\w-]{16,}  # tokens that say what they are
    | \bAKIA[0-9A-Z]{16}\b                                     # AWS
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.                           # JSON web tokens
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | \w://[^/\s:@]+:[^/\s@]+@                                 # an address with a password
    """,
    re.VERBOSE,
)


def _names_a_secret(name: str) -> bool:
    words = re.split(r"[^0-9A-Za-z]+|(?<=[a-z])(?=[A-Z])", name)
    return words[-1].lower() in _SECRET_WORDS


def _holds_a_secret(name: str, value: object) -> bool:
    """Return whether a value is a secret in clear; what a preview does not know is none."""
    if value in (None, "") or value is UNKNOWN:
        return False
    return _names_a_secret(name) or bool(_SECRET_VALUES.search(str(value)))


@resource_rule(
    "no-plain-credentials",
    "Passwords and tokens are in Secrets, not in variables, arguments or images.",
)
def _no_plain_credentials(resource: StackResource) -> Iterator[str]:
    for pod in pods(resource):
        for container in pod.containers():
            yield from _environment(container)
            for field in ("command", "args"):
                yield from _words(f"{container.path}.{field}", container.document.get(field))
    if resource.type == BUILT_IMAGE:
        arguments: Mapping[str, object] = mapping_at(resource.properties, "build", "args")
        for name, value in arguments.items():
            if _holds_a_secret(name, value):
                yield f"build.args.{name}: must not be a secret: it stays in the image's history"


def _environment(container: Container) -> Iterator[str]:
    for index, variable in mappings_of(container.document.get("env")):
        name = str(variable.get("name"))
        if _holds_a_secret(name, variable.get("value")):
            yield f"{container.path}.env[{index}]: {name} must come from a Secret (valueFrom)"


def _words(path: str, words: object) -> Iterator[str]:
    previous = ""
    for index, word in enumerate(items_of(words)):
        option, _, value = str(word).partition("=")
        # `--password=VALUE`, `--password VALUE`, or a value that gives itself away.
        named = _holds_a_secret(option, value) if option.startswith("-") else False
        follows = _names_a_secret(previous) and not option.startswith("-")
        if named or follows or _holds_a_secret("", word):
            yield f"{path}[{index}]: must not be a secret: mount the Secret as a file"
        previous = option if option.startswith("-") and not value else ""


RULES = (_no_plain_credentials,)
