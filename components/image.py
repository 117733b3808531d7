"""A container image: built and pushed under a tag of its contents, or one that exists."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_docker as docker

from components.build_context import content_tag
from components.errors import ImageReferenceError

PLATFORM = "linux/amd64"
"""What Triton and the FasterTransformer backend are compiled for, whatever machine builds."""

_DIGEST_REFERENCE = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class RegistryLogin:
    """Who may push to a registry.

    Attributes:
        server: The registry's address, such as "ghcr.io".
        username: The user.
        password: The password or token, a Pulumi secret.
    """

    server: str
    username: pulumi.Input[str]
    password: pulumi.Input[str] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Build:
    """An image to build.

    Attributes:
        repository: Registry and name, without a tag.
        context: The build context's folder.
        dockerfile: The Dockerfile; `<dockerfile>.dockerignore` beside it names the context's files.
        args: The build's arguments.
        login: Who pushes; what Docker is logged in as, if None.
    """

    repository: str
    context: Path
    dockerfile: Path
    args: Mapping[str, str] = field(default_factory=dict)
    login: RegistryLogin | None = None


@dataclass(frozen=True, kw_only=True)
class ImageArgs:
    """Where an image comes from.

    Attributes:
        source: A build, or the reference of an image that exists, by its digest.
    """

    source: Build | str


class Image(pulumi.ComponentResource):
    """An image that never changes under its name.

    A build's tag is the hash of what decides it. Unchanged files are an unchanged resource, and
    `latest` is never a tag.

    Attributes:
        reference: `repository@sha256:…`, by which pods run it.
    """

    reference: pulumi.Output[str]

    def __init__(
        self, name: str, args: ImageArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:Image", name, None, opts)
        if isinstance(args.source, Build):
            self.reference = self._built(name, args.source).repo_digest
        else:
            self.reference = pulumi.Output.from_input(_pinned(args.source))
        self.register_outputs({"reference": self.reference})

    def _built(self, name: str, build: Build) -> docker.Image:
        tag = content_tag(build.context, build.dockerfile, build.args, PLATFORM)
        login = build.login
        return docker.Image(
            name,
            image_name=f"{_untagged(build.repository)}:{tag}",
            build=docker.DockerBuildArgs(
                args=build.args,
                builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
                context=str(build.context),
                dockerfile=str(build.dockerfile),
                platform=PLATFORM,
            ),
            registry=docker.RegistryArgs(
                server=login.server, username=login.username, password=login.password
            )
            if login
            else None,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _pinned(reference: str) -> str:
    if not _DIGEST_REFERENCE.fullmatch(reference):
        raise ImageReferenceError(
            f"The image {reference!r} can change under its name, as latest does; name it by its "
            "digest: repository@sha256:… (docker buildx imagetools inspect tells it)"
        )
    return reference


def _untagged(repository: str) -> str:
    if "@" in repository or ":" in repository.rpartition("/")[2]:
        raise ImageReferenceError(
            f"The repository {repository!r} has a tag or digest; leave it out: the tag is the hash "
            "of what the image is built from"
        )
    return repository
