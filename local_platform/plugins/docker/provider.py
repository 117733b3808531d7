"""The docker plugin's side of Pulumi's provider protocol."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from local_platform.plugins.docker import inputs, settings
from local_platform.plugins.docker.build import make
from local_platform.plugins.docker.commands import Docker
from local_platform.plugins.docker.errors import ImportImageError, InputError, ResourceTypeError
from local_platform.plugins.engine import Engine
from local_platform.plugins.server import Plugin
from local_platform.plugins.values import (
    UNKNOWN,
    Secret,
    Value,
    from_struct,
    has_unknown,
    reveal,
    to_struct,
)

IMAGE = "docker:index/image:Image"

_NAMED = ("baseImageName", "imageName", "repoDigest")
"""Outputs that say the image's name, and are secrets if it is one."""

_UNKNOWN = dict.fromkeys(
    ("baseImageName", "context", "dockerfile", "platform", "registryServer", "repoDigest"), UNKNOWN
)
"""What is known only after a build."""


class DockerPlugin(Plugin):
    """Serves `docker:index/image:Image` as version 5.1.0 of the real plugin does."""

    version = version("pulumi-docker")

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._settings = settings.Settings(host=None, credentials={})
        self._docker = Docker(None)

    def check_config(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Refuses settings that are not served."""
        return _checked(*settings.check(from_struct(request.news)))

    def configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        """Takes the daemon's address and credentials."""
        self._settings = settings.Settings.read(from_struct(request.args))
        self._docker = Docker(self._settings.host)
        return super().configure(request)

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Completes an image's inputs; every later call gets them as they are then."""
        if request.type != IMAGE:
            raise ResourceTypeError(
                f"{request.type} is not served: this stand-in for Pulumi's docker plugin serves "
                f"{IMAGE} alone; install the real one"
            )
        return _checked(*inputs.complete(from_struct(request.news)))

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Names the inputs that changed. An image is always updated in place, never replaced."""
        old, new = (_compared(from_struct(it)) for it in (request.old_inputs, request.news))
        changed = sorted(name for name in old | new if old.get(name) != new.get(name))
        response = provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME
            if changed
            else provider_pb2.DiffResponse.DIFF_NONE,
            diffs=changed,
            hasDetailedDiff=True,
        )
        for name in changed:
            response.detailedDiff[name].CopyFrom(
                provider_pb2.PropertyDiff(kind=_kind(name, old, new), inputDiff=True)
            )
        return response

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        """Builds and pushes; the first name stays the resource's identifier."""
        values = from_struct(request.properties)
        outputs = self._outputs(request.urn, values, preview=request.preview)
        name = reveal(values["imageName"])
        return provider_pb2.CreateResponse(
            id="" if request.preview else name, properties=to_struct(outputs)
        )

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        """Builds and pushes again; what was pushed under another name stays in the registry."""
        outputs = self._outputs(request.urn, from_struct(request.news), preview=request.preview)
        return provider_pb2.UpdateResponse(properties=to_struct(outputs))

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        """Gives the state back: neither the daemon nor the registry is asked."""
        if not request.properties.fields:
            raise ImportImageError(
                f"{request.id}: an image can be neither imported nor looked up, because nothing "
                "tells what it was built from; declare it and let it be built"
            )
        return provider_pb2.ReadResponse(
            id=request.id, properties=request.properties, inputs=request.inputs
        )

    def delete(self, _: provider_pb2.DeleteRequest) -> empty_pb2.Empty:
        """Removes nothing: others may use the image by its name or digest."""
        return empty_pb2.Empty()

    def cancel(self, request: empty_pb2.Empty) -> empty_pb2.Empty:
        """Ends builds and pushes."""
        self._docker.stop()
        return super().cancel(request)

    def _outputs(self, urn: str, values: Mapping[str, Value], *, preview: bool) -> dict[str, Value]:
        unknown = {"imageName": values["imageName"], **_UNKNOWN}
        if preview and not reveal(values["buildOnPreview"]):
            return unknown
        if has_unknown(values):
            self.engine.warn(urn, "not built on preview: some of its inputs are not known yet")
            return unknown
        image = inputs.image(values)
        if bool(image.registry.username) != bool(image.registry.password):
            self.engine.warn(
                urn, "registry: username and password go together; using Docker's own credentials"
            )
        outputs = make(
            image,
            self._docker,
            credentials=self._settings.credentials,
            push=not (preview or image.skip_push),
            say=lambda line: self.engine.status(urn, line),
        )
        if isinstance(values["imageName"], Secret):
            return outputs | {it: Secret(outputs[it]) for it in _NAMED}
        return outputs


def _checked(
    values: Mapping[str, Value], failures: Sequence[InputError]
) -> provider_pb2.CheckResponse:
    return provider_pb2.CheckResponse(
        inputs=to_struct(values),
        failures=[
            provider_pb2.CheckFailure(property=failure.path, reason=failure.reason)
            for failure in failures
        ],
    )


def _compared(values: dict[str, Value]) -> dict[str, Value]:
    """The inputs that make a difference: credentials change often and change no image."""
    plain = reveal(values)
    registry = plain.get("registry")
    if isinstance(registry, dict):
        server = {"server": registry["server"]} if "server" in registry else {}
        plain["registry"] = server
    return {name: value for name, value in plain.items() if value != {}}


def _kind(
    name: str, old: Mapping[str, Value], new: Mapping[str, Value]
) -> provider_pb2.PropertyDiff.Kind.ValueType:
    if name not in old:
        return provider_pb2.PropertyDiff.ADD
    if name not in new:
        return provider_pb2.PropertyDiff.DELETE
    return provider_pb2.PropertyDiff.UPDATE
