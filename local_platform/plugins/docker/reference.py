"""Names of images, by the grammar of distribution/reference."""

import re

from local_platform.plugins.docker.errors import ImageNameError

_DOMAIN = (
    r"(?:(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
)
_COMPONENT = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_NAME = re.compile(
    rf"(?P<repository>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::[\w][\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?",
    re.ASCII,
)

DOCKER_HUB = "docker.io"


def repository(name: str) -> str:
    """The name without tag and digest.

    Raises:
        ImageNameError: It is no image name.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise ImageNameError(
            f"{name!r}: invalid reference format; an image name is registry/repository:tag, "
            "the repository in lower case"
        )
    return match["repository"]


def registry(name: str) -> str:
    """The registry of a fully qualified name.

    Raises:
        ImageNameError: It is no image name, or Docker would have to complete it.
    """
    domain, _, path = repository(name).partition("/")
    named = bool(path) and (domain == "localhost" or any(char in domain for char in ".:"))
    # Docker writes both of these as docker.io/library/….
    shortened = domain == "index.docker.io" or (domain == DOCKER_HUB and "/" not in path)
    if not named or shortened:
        raise ImageNameError(
            f"{name!r}: repository name must be canonical: the registry first, "
            "as in localhost:5000/name:tag or docker.io/user/name:tag"
        )
    return domain
