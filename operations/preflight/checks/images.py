"""Checks of registries, as they answer from here; nodes may reach them in other ways."""

from collections.abc import Iterator

from operations.preflight.facts import Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs


def images(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Check the registry of pushes, and images that have to exist."""
    settings, answer = needs.config.image, facts.registry
    if answer is not None and not answer.reached:
        say = error if any(it.existing is None for it in needs.sources) else warning
        scheme = "http" if is_local(settings.registry) else "https"
        yield say(
            f"Registry {settings.registry}",
            found=f"no answer from here: {answer.reason}",
            needed="one that images can be pushed to and pulled from",
            remedy="Check image.registry, and that it runs: "
            f"`curl --head {scheme}://{settings.registry}/v2/`",
        )
    elif answer is not None and answer.refused:
        yield error(
            f"Login at registry {settings.registry}",
            found=f"user {settings.username} refused: {answer.reason}",
            needed="a user and a password that it accepts",
            remedy="Set image.username, and `pulumi config set --secret registryPassword`; "
            f"`docker login --username {settings.username} {settings.registry}` tries them",
        )
    for image, there in facts.images.items():
        if not there.reached:
            yield warning(
                f"Image {image}",
                found=f"no answer of its registry from here: {there.reason}",
                needed="a registry that nodes reach",
                remedy="Check its name; it was not checked further",
            )
        elif there.missing:
            yield error(
                f"Image {image}",
                found="none with that digest in its registry",
                needed="an image that exists",
                remedy="`docker buildx imagetools inspect` shows the digest of a tag; set "
                "`existing` to that",
            )


def is_local(host: str) -> bool:
    """Return whether a registry runs on this machine, where Docker speaks http to it."""
    return host.partition(":")[0] in ("localhost", "127.0.0.1")
