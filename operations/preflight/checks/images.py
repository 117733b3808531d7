"""Registries, as they answer from here; nodes may reach them in other ways."""

from collections.abc import Iterator

from operations.preflight.facts import Facts, PreflightFinding, RegistryAnswer, error, warning
from operations.preflight.needs import Needs


def images(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """The registry that is pushed to, and images that have to exist."""
    if facts.registry is not None:
        yield from _registry(needs, facts.registry)
    for image, answer in facts.images.items():
        if not answer.reached:
            yield warning(
                f"Image {image}",
                found=f"no answer of its registry from here: {answer.reason}",
                needed="that nodes reach it",
                remedy="Check its name; it was not checked further",
            )
        elif answer.missing:
            yield error(
                f"Image {image}",
                found="none with that digest in its registry",
                needed="an image that exists",
                remedy="`docker buildx imagetools inspect` shows the digest of a tag; set "
                "`existing` to that",
            )


def _registry(needs: Needs, answer: RegistryAnswer) -> Iterator[PreflightFinding]:
    settings = needs.config.image
    say = error if any(it.existing is None for it in needs.sources) else warning
    if not answer.reached:
        yield say(
            f"Registry {settings.registry}",
            found=f"no answer from here: {answer.reason}",
            needed="one that images can be pushed to and pulled from",
            remedy="Check image.registry, and that it runs: "
            f"`curl --head {'http' if is_local(settings.registry) else 'https'}://{settings.registry}/v2/`",
        )
    elif answer.refused:
        yield error(
            f"Login at registry {settings.registry}",
            found=f"user {settings.username} refused: {answer.reason}",
            needed="a user and a password that it accepts",
            remedy="Set image.username, and `pulumi config set --secret registryPassword`; "
            f"`docker login --username {settings.username} {settings.registry}` tries them",
        )


def is_local(host: str) -> bool:
    """Whether Docker speaks http to a registry: it does on the machine itself."""
    return host.partition(":")[0] in ("localhost", "127.0.0.1")
