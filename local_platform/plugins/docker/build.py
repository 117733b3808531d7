"""Builds an image and pushes it."""

import os.path
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from local_platform.plugins.docker import reference
from local_platform.plugins.docker.commands import Docker, Say
from local_platform.plugins.docker.credentials import Credentials, configuration, key
from local_platform.plugins.docker.errors import BuildError, CommandError, PushError
from local_platform.plugins.docker.inputs import Build, Image
from local_platform.plugins.values import Value

# Of a failed step's own output, as much as fits a terminal beside the rest of Pulumi's report.
_LAST_LINES = 20

# BuildKit repeats each step's digest, which tells a user nothing.
_STEP_DIGEST = re.compile(r"#\d+ sha256:[0-9a-f]{64}")

_STEP_FAILED = re.compile(r"#\d+ ERROR:")

_PUSHED = re.compile(r"\S+: digest: (sha256:[0-9a-f]{64}) size: \d+")


def make(
    image: Image,
    docker: Docker,
    *,
    credentials: Mapping[str, Credentials],
    push: bool,
    say: Say,
) -> dict[str, Value]:
    """Builds an image, and pushes it if wanted.

    Args:
        image: What to build.
        docker: The daemon to build on.
        credentials: The provider's, by registry; those of the image go before them.
        push: Whether to push.
        say: Gets the output's lines.

    Returns:
        The resource's outputs. `repoDigest` pins the image: `repository@sha256:…` as the registry
        has it, or without a push the image's local identifier.

    Raises:
        BuildError: The build failed.
        PushError: The push failed.
        DaemonUnreachableError: No daemon answers.
        CancelledError: The user cancelled.
    """
    docker.require_daemon()
    with configuration({**credentials, **_own(image)}) as config:
        _build(image, docker, config, say)
        digest = _push(image, docker, config, say) if push else _local_identifier(image, docker)
    return {
        "baseImageName": image.name,
        "context": image.build.context,
        "dockerfile": os.path.relpath(image.build.dockerfile, image.build.context),
        "imageName": image.name,
        "platform": image.build.platform,
        "registryServer": image.registry.server,
        "repoDigest": digest,
    }


def _own(image: Image) -> dict[str, Credentials]:
    registry = image.registry
    asked = image.build.cache_from or not image.skip_push
    if not (asked and registry.username and registry.password):
        return {}
    server = registry.server or reference.registry(image.name)
    return {key(server): Credentials(username=registry.username, password=registry.password)}


def _build(image: Image, docker: Docker, config: Path | None, say: Say) -> None:
    for cached in image.build.cache_from:
        # The first build of all has no cache to take.
        try:
            docker.run("pull", "--quiet", cached, configuration=config)
        except CommandError as exc:
            say(f"cacheFrom image {cached} not available: {exc.lines[-1]}")
    try:
        docker.run(
            *arguments(image.name, image.build),
            say=lambda line: None if _STEP_DIGEST.fullmatch(line) else say(line),
            configuration=config,
            buildkit=image.build.buildkit,
        )
    except CommandError as exc:
        raise BuildError(f"error reading build output: {failure(exc.lines)}") from exc


def arguments(name: str, build: Build) -> list[str]:
    """The arguments of docker for a build.

    Build arguments are among them for every user of the machine to see: they are no place for
    secrets anyway, since the image's history shows them too.
    """
    return [
        "build",
        *("--tag", name, "--file", build.dockerfile, "--platform", build.platform),
        *(("--target", build.target) if build.target else ()),
        *(("--network", build.network) if build.network else ()),
        *(f"--build-arg={name}={value}" for name, value in build.args.items()),
        *(f"--add-host={host}" for host in build.add_hosts),
        *(f"--cache-from={cached}" for cached in build.cache_from),
        "--",
        build.context,
    ]


def failure(lines: Sequence[str]) -> str:
    """Why a build failed: the reason, and the last lines of the step that failed."""
    failed = next((i for i, line in enumerate(lines) if _STEP_FAILED.match(line)), None)
    if failed is None:
        return "\n".join(lines[-_LAST_LINES:])
    step = lines[failed].partition(" ")[0]
    written = re.compile(rf"{step} \d+\.\d+ (.*)")
    output = [match[1] for line in lines[:failed] if (match := written.fullmatch(line))]
    return "\n".join([lines[-1], *output[-_LAST_LINES:]])


def _push(image: Image, docker: Docker, config: Path | None, say: Say) -> str:
    say("Pushing Image to the registry")
    try:
        lines = docker.run("push", image.name, say=say, configuration=config)
    except CommandError as exc:
        raise PushError(f"error reading push output: {exc.lines[-1]}") from exc
    for line in reversed(lines):
        if pushed := _PUSHED.fullmatch(line):
            return f"{reference.repository(image.name)}@{pushed[1]}"
    raise PushError(f"docker push {image.name} ended well, but told no digest")


def _local_identifier(image: Image, docker: Docker) -> str:
    return docker.run("image", "inspect", "--format", "{{.Id}}", image.name)[0]
