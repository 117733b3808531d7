"""Records the resources that a program registers, without an engine."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NoReturn

import pulumi
from google.protobuf import empty_pb2
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import get_root_resource

STACK = "pulumi:pulumi:Stack"
COMPONENT = "ft-serving:components:"
DIGEST = f"sha256:{'ab' * 32}"
URL = "http://served.example.com"


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A resource, as the program registered it."""

    type: str  # Its type token.
    name: str  # Its logical name.
    inputs: Mapping[str, Any]  # Its properties, secrets in plain text.
    parent: str  # The name of the component that it is part of; empty for none.
    dependencies: frozenset[str]  # The names of all that it waits for.
    request: Any = field(repr=False)  # All that was said.
    read: bool = False  # Whether it was read and not made.


@dataclass(kw_only=True)
class Recording:
    """The resources and outputs of a program."""

    resources: list[Registered] = field(default_factory=list)  # In the order of registration.
    # What each component registered, by its name.
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    exports: dict[str, Any] = field(default_factory=dict)  # The stack's outputs.

    def of(self, type_end: str) -> list[Registered]:
        """Return the resources whose type has an end."""
        return [each for each in self.resources if each.type.endswith(type_end)]

    def component(self, name: str) -> Registered:
        """Return the component of a name."""
        return next(it for it in self.of("") if it.name == name and it.type.startswith(COMPONENT))

    def one(self, type_end: str, name: str | None = None) -> Registered:
        """Return the only resource with an end of its type, and a name; else raise LookupError."""
        found = [each for each in self.of(type_end) if name in (None, each.name)]
        if len(found) != 1:
            raise LookupError(f"{type_end} {name}: {found}")
        return found[0]


class _Engine(mocks.Mocks):
    """Answers in place of the cluster and the registry."""

    def __init__(self, digest_of: Callable[[str], str]) -> None:
        self._digest_of = digest_of

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        state = dict(args.inputs)
        if args.typ == "docker:index/image:Image":
            name = state["imageName"]
            state["repoDigest"] = f"{name.rpartition(':')[0]}@{self._digest_of(name)}"
        if args.typ.endswith(":InferenceService"):
            state["status"] = {"url": URL}
        name = (state.get("metadata") or {}).get("name") or args.name
        if "metadata" in state:
            state["metadata"] = {**state["metadata"], "name": name, "uid": "uid-1"}
        return str(args.resource_id or f"namespace/{name}"), state

    def call(self, args: mocks.MockCallArgs) -> NoReturn:
        raise NotImplementedError(f"the program calls {args.token}, which nothing answers here")


class Recorder(mocks.MockMonitor):
    """Keeps whole requests, because mocks get only a part; its methods are Pulumi's own."""

    def __init__(self, digest_of: Callable[[str], str]) -> None:
        super().__init__(_Engine(digest_of))
        self.recording = Recording()

    def RegisterResource(  # noqa: D102, N802 - gRPC's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> object:
        if request.type != STACK:
            self._record(request, rpc.deserialize_properties(request.object))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call] # pulumi's

    def ReadResource(  # noqa: D102, N802 - gRPC's name
        self, request: resource_pb2.ReadResourceRequest
    ) -> object:
        self._record(request, {"id": request.id})
        return super().ReadResource(request)  # type: ignore[no-untyped-call] # pulumi's

    def RegisterResourceOutputs(  # noqa: D102, N802 - gRPC's name
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> empty_pb2.Empty:
        self.recording.outputs[_name(request.urn)] = rpc.deserialize_properties(request.outputs)
        return empty_pb2.Empty()

    def _record(
        self,
        request: resource_pb2.RegisterResourceRequest | resource_pb2.ReadResourceRequest,
        inputs: Mapping[str, object],
    ) -> None:
        parent = "" if _type(request.parent) in ("", STACK) else _name(request.parent)
        self.recording.resources.append(
            Registered(
                type=request.type,
                name=request.name,
                inputs={name: plain(value) for name, value in inputs.items()},
                parent=parent,
                dependencies=frozenset(map(_name, request.dependencies)),
                request=request,
                read=isinstance(request, resource_pb2.ReadResourceRequest),
            )
        )


def record(
    program: Callable[[], object],
    *,
    stack: str = "dev",
    config: Mapping[str, str] | None = None,
    secret_keys: Iterable[str] = (),
    digest_of: Callable[[str], str] = lambda _image: DIGEST,
) -> Recording:
    """Run a program to its end, and return its resources and outputs.

    It runs as in an `up`, because a preview's values are unknown: a test that looks at one in an
    `apply` would look at nothing.
    """
    recorder = Recorder(digest_of)
    pulumi.runtime.set_mocks(
        recorder.mocks, project="ft-serving", stack=stack, preview=False, monitor=recorder
    )
    pulumi.runtime.set_all_config(dict(config or {}), list(secret_keys))
    exports: dict[str, Any] = {}

    def run() -> None:
        program()
        root = get_root_resource()
        for name, value in (getattr(root, "outputs", None) or {}).items():
            pulumi.Output.from_input(value).apply(partial(exports.__setitem__, name))

    pulumi.runtime.test(run)()  # type: ignore[no-untyped-call] # pulumi's
    recorder.recording.exports = exports
    return recorder.recording


def plain(value: object) -> object:
    """Return a value of the wire, where secrets are marked and no number is whole, as given."""
    if isinstance(value, dict) and rpc._special_sig_key in value:
        return plain(value["value"])
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _type(urn: str) -> str:
    return urn.split("::")[2].rpartition("$")[2] if urn else ""


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]
