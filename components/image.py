"""A container image: built and pushed under a tag of its contents, or one that exists."""

from dataclasses import dataclass, field
from pathlib import Path

import pulumi
import pulumi_docker as docker

from components.build_context import content_tag
from stacks.sections import Images, ImageSource

PLATFORM = "linux/amd64"
"""The platform that Triton and the FasterTransformer backend are compiled for."""

CONTEXT = Path()
"""The build context: the root of the repository, in which Pulumi runs the program."""


@dataclass(frozen=True, kw_only=True)
class ImageRegistry:
    """The registry that built images are pushed to and pulled from.

    Attributes:
        settings: Its address, and its user where it asks for one.
        password: The user's password or token, a Pulumi secret.
    """

    settings: Images
    password: pulumi.Input[str] | None = field(default=None, repr=False)


@dataclass(frozen=True, kw_only=True)
class ImageArgs:
    """The source of an image.

    Attributes:
        folder: The folder below `images/` with the Dockerfile, and with the
            `Dockerfile.dockerignore` that names the context's files.
        source: An image that exists, by its digest, or the arguments of one to build.
        registry: The registry of a built one.
    """

    folder: str
    source: ImageSource
    registry: ImageRegistry


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
        self.reference = image_reference(name, args, parent=self)
        self.register_outputs({"reference": self.reference})


def image_reference(name: str, args: ImageArgs, *, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Return `repository@sha256:…` of an image; make it, as a part of another resource, if needed.

    Args:
        name: The name of the resource that builds it.
        args: The image.
        parent: The component that it is a part of.
    """
    if args.source.existing is not None:
        return pulumi.Output.from_input(args.source.existing)
    dockerfile = CONTEXT / "images" / args.folder / "Dockerfile"
    tag = content_tag(CONTEXT, dockerfile, args.source.args, PLATFORM)
    settings = args.registry.settings
    image = docker.Image(
        name,
        image_name=f"{settings.repository(args.folder)}:{tag}",
        build=docker.DockerBuildArgs(
            args=args.source.args,
            builder_version=docker.BuilderVersion.BUILDER_BUILD_KIT,
            context=str(CONTEXT),
            dockerfile=str(dockerfile),
            platform=PLATFORM,
        ),
        registry=docker.RegistryArgs(
            server=settings.registry,
            username=settings.username,
            password=args.registry.password,
        )
        if settings.username is not None
        else None,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return image.repo_digest
