"""A stand-in for Pulumi's docker plugin, which no package registry serves (ADR 4).

It serves `docker:index/image:Image` by the docker command line, with the outputs of the real
plugin (5.1.0): built with BuildKit, pushed, pinned by `repoDigest`. An image is built when one of
its inputs changes. The real plugin also notices changed files; here the program's tags do that,
which are hashes of the files (`components/build_context.py`).

Run as `python -m local_platform.docker_plugin ENGINE` by Pulumi's engine.
"""

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, cast

import grpc
from google.protobuf.message import Message
from pulumi.provider.experimental import provider
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN

from local_platform.errors import DockerError

IMAGE: Final = "docker:index/image:Image"

Values = dict[str, PropertyValue]
Context = grpc.aio.ServicerContext[Message, Message]

_INPUTS: Final = {"build", "imageName", "registry"}
_BUILD: Final = {"args", "builderVersion", "context", "dockerfile", "platform"}
_REGISTRY: Final = {"password", "server", "username"}

# Docker completes a name without a registry to one of its own hub, which the program never means.
_REPOSITORY: Final = re.compile(r"(?P<repository>(?:localhost|[^/]*[.:][^/]*)/.+):[\w][\w.-]*")
_STEP: Final = re.compile(r"#\d+ (\[.*\S)")
_STEP_DIGEST: Final = re.compile(r"#\d+ sha256:[0-9a-f]{64}")
_PUSHED: Final = re.compile(r"\S+: digest: (sha256:[0-9a-f]{64}) size: \d+")
# As much of what a failed step wrote as fits a terminal beside the rest of Pulumi's report.
_LAST_LINES: Final = 20
# BuildKit gives a step's output up to 1 MiB in one line.
_LINE_LIMIT: Final = 1 << 21

# Docker Hub's credentials lie under the address of an interface that it no longer has.
_HUB_KEY: Final = "https://index.docker.io/v1/"


class DockerProvider(provider.Provider):
    """Builds and pushes images; `docker` and its daemon are those of the environment."""

    def __init__(self, engine: str) -> None:
        """Serve the engine at an address."""
        self._engine = engine_pb2_grpc.EngineStub(grpc.aio.insecure_channel(engine))
        self._running: set[Process] = set()
        self._cancelled = False

    async def check_config(self, request: provider.CheckRequest) -> provider.CheckResponse:
        """Refuse settings of the provider: it uses the environment's daemon and user."""
        given = {name for name in request.new_inputs if name != "version"}
        return provider.CheckResponse(inputs=request.new_inputs, failures=_unserved(given, set()))

    async def configure(self, _: provider.ConfigureRequest) -> provider.ConfigureResponse:
        """Take no settings."""
        return provider.ConfigureResponse(accept_secrets=True, supports_preview=True)

    async def check(self, request: provider.CheckRequest) -> provider.CheckResponse:
        """Refuse what the stand-in does not serve, and make the password a secret."""
        # The type stands behind the types of its parents.
        asked = request.type.rpartition("$")[2]
        if asked != IMAGE:
            failure = provider.CheckFailure("", f"{asked} is not served; {IMAGE} is")
            return provider.CheckResponse(failures=[failure])
        # The SDK sets switches that the program left out to false.
        inputs = request.new_inputs.items()
        given = {name: it for name, it in inputs if it.value not in (None, False)}
        build, registry = (_mapping(given.get(name)) for name in ("build", "registry"))
        failures = _unserved(given, _INPUTS)
        failures += _unserved(build, _BUILD, "build.") + _unserved(registry, _REGISTRY, "registry.")
        name = given.get("imageName", PropertyValue(""))
        if name.value != UNKNOWN and not _REPOSITORY.fullmatch(str(name.value)):
            reason = f"must be REGISTRY/REPOSITORY:TAG; got {name.value!r}"
            failures.append(provider.CheckFailure("imageName", reason))
        if "password" in registry:
            secret = registry["password"].with_secret(is_secret=True)
            given["registry"] = PropertyValue({**registry, "password": secret})
        return provider.CheckResponse(inputs=given, failures=failures)

    async def diff(self, request: provider.DiffRequest) -> provider.DiffResponse:
        """Name the inputs that changed. An image is updated in place, never replaced."""
        old = {name: _plain(request.old_state.get(name)) for name in ("build", "imageName")}
        new = {name: _plain(request.new_inputs.get(name)) for name in ("build", "imageName")}
        changed = [name for name in old if old[name] != new[name]]
        update = provider.PropertyDiff(provider.PropertyDiffKind.UPDATE, input_diff=True)
        return provider.DiffResponse(
            changes=bool(changed), diffs=changed, detailed_diff=dict.fromkeys(changed, update)
        )

    async def create(self, request: provider.CreateRequest) -> provider.CreateResponse:
        """Build and push; the first name stays the resource's identifier."""
        made = await self._make(request.urn, request.properties, preview=request.preview)
        identifier = "" if request.preview else _plain(request.properties["imageName"])
        return provider.CreateResponse(resource_id=identifier, properties=made)

    async def update(self, request: provider.UpdateRequest) -> provider.UpdateResponse:
        """Build and push again; what was pushed under another name stays in the registry."""
        made = await self._make(request.urn, request.news, preview=request.preview)
        return provider.UpdateResponse(properties=made)

    async def delete(self, _: provider.DeleteRequest) -> None:
        """Remove nothing: others may use the image by its name or digest."""

    async def cancel(self) -> None:
        """End builds and pushes; the daemon gives up what its client no longer waits for."""
        self._cancelled = True
        for process in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    async def _make(self, urn: str, inputs: Values, *, preview: bool) -> Values:
        """Return the outputs of an image; a preview knows its name and builds nothing."""
        unknown = dict.fromkeys(
            ("baseImageName", "context", "dockerfile", "platform", "registryServer", "repoDigest"),
            PropertyValue(UNKNOWN),
        )
        # The build is kept among the outputs, because the next diff gets those.
        given = {name: inputs[name] for name in ("build", "imageName") if name in inputs}
        if preview:
            return unknown | given
        name = _plain(inputs["imageName"])
        build = _plain(inputs.get("build")) or {}
        registry = _plain(inputs.get("registry")) or {}
        context = build.get("context", ".")
        dockerfile = build.get("dockerfile", f"{context}/Dockerfile")
        with _configuration(registry) as configuration:
            await self._require_daemon()
            await self._docker(
                "build",
                *("--tag", name, "--file", dockerfile),
                *(("--platform", build["platform"]) if "platform" in build else ()),
                *(f"--build-arg={key}={value}" for key, value in build.get("args", {}).items()),
                *("--", context),
                configuration=configuration,
                urn=urn,
            )
            await self._say(urn, f"pushing {name}")
            pushed = await self._docker("push", name, configuration=configuration)
        digest = next(match[1] for line in reversed(pushed) if (match := _PUSHED.fullmatch(line)))
        repository = _REPOSITORY.fullmatch(name)
        assert repository is not None  # noqa: S101 (`check` has seen it)
        outputs = {
            "baseImageName": name,
            "context": context,
            "dockerfile": os.path.relpath(dockerfile, context),
            "platform": build.get("platform", ""),
            "registryServer": registry.get("server", ""),
            "repoDigest": f"{repository['repository']}@{digest}",
        }
        return {key: PropertyValue(value) for key, value in outputs.items()} | given

    async def _require_daemon(self) -> None:
        """Check that the daemon answers, because a build's own message names no remedy."""
        try:
            await self._docker("version")
        except DockerError as exc:
            where = os.environ.get("DOCKER_HOST", "its default address")
            raise DockerError(
                f"No Docker daemon answers at {where}: start it, or set DOCKER_HOST. {exc}"
            ) from exc

    async def _docker(
        self, *arguments: str, configuration: Path | None = None, urn: str | None = None
    ) -> list[str]:
        """Run docker and return the lines that it wrote; show a build's steps at a resource.

        Raises:
            DockerError: docker is missing, failed or was ended by a cancellation.
        """
        environment = os.environ | {"DOCKER_BUILDKIT": "1", "BUILDKIT_PROGRESS": "plain"}
        if configuration is not None:
            environment["DOCKER_CONFIG"] = str(configuration)
        try:
            process = await asyncio.create_subprocess_exec(
                "docker", *arguments, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT,
                limit=_LINE_LIMIT,
                # A group of its own, so that `cancel` also ends what docker starts.
                start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError as exc:
            raise DockerError("docker is not on PATH: install Docker's command line") from exc
        self._running.add(process)
        lines: list[str] = []
        shown: set[str] = set()
        try:
            assert process.stdout is not None  # noqa: S101 (a pipe was asked for)
            async for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip()
                if line and not _STEP_DIGEST.fullmatch(line):
                    lines.append(line)
                if urn and (step := _STEP.fullmatch(line)) and step[1] not in shown:
                    shown.add(step[1])
                    await self._say(urn, step[1])
            status = await process.wait()
        finally:
            self._running.discard(process)
        if self._cancelled:
            raise DockerError(f"docker {arguments[0]}: cancelled")
        if status:
            said = "\n".join(lines[-_LAST_LINES:]) or f"exit status {status}"
            raise DockerError(f"docker {arguments[0]} failed:\n{said}")
        return lines

    async def _say(self, urn: str, message: str) -> None:
        """Show what a resource is doing, until the next message replaces it."""
        request = engine_pb2.LogRequest(
            severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=True
        )
        # A message that is lost is not worth a failed build.
        with contextlib.suppress(grpc.RpcError):
            await cast("Awaitable[object]", self._engine.Log(request))


Call = Callable[..., Coroutine[Any, Any, Any]]


def _plain_errors(call: Call) -> Call:
    """Return a call that gives the engine only a `DockerError`'s message.

    The SDK's server puts a traceback into the message of every error.
    """

    async def plain(self: ProviderServicer, request: Message, context: Context) -> object:
        try:
            return await call(self, request, context)
        except Exception as exc:
            if not isinstance(exc.__context__, DockerError):
                raise
            await context.abort(grpc.StatusCode.UNKNOWN, str(exc.__context__))

    return plain


class _Servicer(ProviderServicer):
    Create = _plain_errors(ProviderServicer.Create)
    Update = _plain_errors(ProviderServicer.Update)


def _unserved(
    given: Mapping[str, object] | set[str], served: set[str], path: str = ""
) -> list[provider.CheckFailure]:
    reason = "the stand-in for Pulumi's docker plugin does not serve this; install the real plugin"
    return [provider.CheckFailure(f"{path}{name}", reason) for name in sorted({*given} - served)]


def _mapping(value: PropertyValue | None) -> Values:
    inner = value.value if value is not None else None
    if not isinstance(inner, Mapping):
        return {}
    return {name: it for name, it in inner.items() if it.value is not None}


def _plain(value: PropertyValue | None) -> Any:  # noqa: ANN401 (a value of JSON)
    """Return a value without Pulumi's marks of secrets and dependencies."""
    if value is None or not isinstance(value.value, Mapping):
        return None if value is None else value.value
    return {name: _plain(it) for name, it in value.value.items()}


@contextlib.contextmanager
def _configuration(registry: Mapping[str, str]) -> Iterator[Path | None]:
    """Make a folder for DOCKER_CONFIG with the user's own and a registry's credentials.

    A command line would show the password to every user of the machine. Without credentials there
    is no folder, and docker uses the user's own.
    """
    if not (registry.get("username") and registry.get("password")):
        yield None
        return
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = json.loads(own.read_bytes()) if own.exists() else {}
    except ValueError as exc:
        raise DockerError(f"{own} is no JSON: {exc}") from exc
    server = registry["server"].removeprefix("https://").rstrip("/")
    key = _HUB_KEY if server.endswith("docker.io") else server
    pair = f"{registry['username']}:{registry['password']}".encode()
    config["auths"] = config.get("auths", {}) | {key: {"auth": base64.b64encode(pair).decode()}}
    # docker would ask either of these instead.
    config.get("credHelpers", {}).pop(key, None)
    config.pop("credsStore", None)
    with tempfile.TemporaryDirectory(prefix="docker-config-") as folder:
        file = Path(folder) / "config.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(config))
        yield Path(folder)


async def _serve(engine: str) -> None:
    server = grpc.aio.server()
    servicer = _Servicer([], version("pulumi-docker"), DockerProvider(engine), engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    # The engine may end the process as soon as it knows the port.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await ended.wait()
    await server.stop(grace=None)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
