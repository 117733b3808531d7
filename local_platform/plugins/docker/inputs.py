"""The inputs of `docker:index/image:Image`, checked and completed as the real plugin does it."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_platform.plugins.docker import context, reference, schema
from local_platform.plugins.docker.errors import ContextError, ImageNameError, InputError
from local_platform.plugins.values import UNKNOWN, Secret, Value, conceal, has_unknown, reveal

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Where an image is pushed to.

    Attributes:
        server: The registry's address; empty for that of the image's name.
        username: The user; empty for what Docker's own configuration says.
        password: The password.
    """

    server: str = ""
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True)
class Build:
    """What an image is built from, in the terms of `docker build`."""

    context: str
    dockerfile: str
    platform: str
    buildkit: bool = True
    target: str = ""
    network: str = ""
    args: Mapping[str, str] = field(default_factory=dict)
    add_hosts: tuple[str, ...] = ()
    cache_from: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image to build, and to push unless `skip_push`."""

    name: str
    build: Build
    registry: Registry
    skip_push: bool
    build_on_preview: bool


def image(inputs: Mapping[str, Value]) -> Image:
    """The image that checked inputs without unknown values describe."""
    plain = reveal(dict(inputs))
    build = plain["build"]
    return Image(
        name=plain["imageName"],
        build=Build(
            context=build["context"],
            dockerfile=build["dockerfile"],
            platform=build["platform"],
            buildkit=build.get("builderVersion") != "BuilderV1",
            target=build.get("target", ""),
            network=build.get("network", ""),
            args=build.get("args", {}),
            add_hosts=tuple(build.get("addHosts", ())),
            cache_from=_cache_from(build),
        ),
        registry=Registry(**plain.get("registry", {})),
        skip_push=plain["skipPush"],
        build_on_preview=plain["buildOnPreview"],
    )


def complete(inputs: Mapping[str, Value]) -> tuple[dict[str, Value], list[InputError]]:
    """The inputs with their defaults and the digest of the build context, and what is wrong.

    The digest is an input of its own, `build.contextDigest`: so the engine sees changed files as
    a change of `build`. Relative paths are relative to the program, in whose folder the engine
    starts plugins. The registry's password comes back a secret, whether it was one or not.
    """
    plain = _without_nulls(reveal(dict(inputs)))
    failures = list(schema.malformed(plain))
    if "imageName" not in plain:
        failures.append(InputError("imageName", "is missing; say registry/repository:tag"))
    if failures:
        return dict(inputs), failures
    plain.setdefault("skipPush", False)
    plain.setdefault("buildOnPreview", False)
    plain.setdefault("build", {})
    failures += [*_complete_build(plain["build"]), *_unqualified(plain)]
    completed = conceal(plain, inputs)
    registry = completed.get("registry")
    if isinstance(registry, dict) and "password" in registry:
        registry["password"] = _secret(registry["password"])
    return completed, failures


def _without_nulls(value: Value) -> Value:
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return value


def _secret(value: Value) -> Secret:
    return value if isinstance(value, Secret) else Secret(value)


def _complete_build(build: Value) -> list[InputError]:
    """Fills defaults in, and the digest once the paths are known."""
    if build is UNKNOWN:
        return []
    build.setdefault(
        "platform", f"linux/{_ARCHITECTURES.get(platform.machine(), platform.machine())}"
    )
    folder = build.setdefault("context", ".")
    if folder is UNKNOWN:
        return []
    dockerfile = build.setdefault("dockerfile", str(Path(folder) / "Dockerfile"))
    if dockerfile is UNKNOWN:
        return []
    if not Path(folder).is_dir():
        return [InputError("build.context", f"{folder!r} is not a folder in {Path.cwd()}")]
    if not Path(dockerfile).is_file():
        return [InputError("build.dockerfile", _no_dockerfile(folder, dockerfile))]
    try:
        build["contextDigest"] = context.digest(Path(folder), Path(dockerfile))
    except ContextError as exc:
        return [InputError("build.context", str(exc))]
    return []


def _no_dockerfile(folder: str, dockerfile: str) -> str:
    message = f"could not open dockerfile at path {dockerfile!r}"
    inside = Path(folder) / dockerfile
    if inside.is_file():
        # Docker's own command line has the same rule, and people fall into the same trap.
        return f"{message}: it is relative to the program, not to the context; use {str(inside)!r}"
    return f"{message} from {Path.cwd()}: there is no such file"


def _unqualified(plain: Mapping[str, Value]) -> list[InputError]:
    """Names that have to name their registry, because it will be asked, and do not."""
    build = plain["build"]
    cached = [] if build is UNKNOWN or has_unknown(build.get("cacheFrom")) else _cache_from(build)
    needed = [("build.cacheFrom.images", name) for name in cached]
    name = plain["imageName"]
    if name is not UNKNOWN and (cached or plain["skipPush"] is False):
        needed.append(("imageName", name))
    failures = []
    for path, text in needed:
        try:
            reference.registry(text)
        except ImageNameError as exc:
            failures.append(InputError(path, str(exc)))
    return failures


def _cache_from(build: Mapping[str, Value]) -> tuple[str, ...]:
    return tuple(build.get("cacheFrom", {}).get("images", ()))
