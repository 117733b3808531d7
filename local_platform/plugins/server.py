"""What every stand-in for a provider plugin shares: its gRPC server and the life of its process."""

import re
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import grpc
from google.protobuf import empty_pb2
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pulumi.runtime.proto import plugin_pb2, provider_pb2, status_pb2

from local_platform.plugins.engine import Engine
from local_platform.plugins.errors import PluginError, ResourceInitError
from local_platform.plugins.values import to_struct

# A resource that is awaited holds a thread; the engine bounds how many it works on at once.
_THREADS = 512

# The engine's own limit for messages: states with whole manifests pass gRPC's default of 4 MB.
_LONGEST_MESSAGE = 400 * 1024 * 1024

_SERVICE = provider_pb2.DESCRIPTOR.services_by_name["ResourceProvider"]


class Plugin:
    """A provider: each call of `provider.proto` is a method of its name in snake case.

    A method takes the call's request and returns its response; it may raise `PluginError`. A call
    without a method is answered with "unimplemented". Here are those that all providers share.

    Attributes:
        engine: Where messages for the user go.
        cancelled: Is set when the user cancels; whatever waits has to end then.
    """

    version: str
    """The version that the plugin answers for: that of the SDK whose resources it serves."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cancelled = threading.Event()

    def handshake(
        self, _: provider_pb2.ProviderHandshakeRequest
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Says which values the plugin understands; must agree with `configure`."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    def configure(self, _: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        """Takes the provider's settings, which `check_config` has seen before."""
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    def get_plugin_info(self, _: empty_pb2.Empty) -> plugin_pb2.PluginInfo:
        """The plugin's version."""
        return plugin_pb2.PluginInfo(version=self.version)

    def cancel(self, _: empty_pb2.Empty) -> empty_pb2.Empty:
        """Ends what waits."""
        self.cancelled.set()
        return empty_pb2.Empty()


@dataclass(frozen=True, kw_only=True)
class _Status(grpc.Status):
    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


def _status(error: PluginError) -> _Status:
    """The gRPC status of an error, with the details by which the engine keeps a failed resource."""
    code = grpc.StatusCode.UNKNOWN
    if not isinstance(error, ResourceInitError):
        return _Status(code=code, details=str(error), trailing_metadata=())
    status = status_pb2.Status(code=code.value[0], message=str(error))
    status.details.add().Pack(
        provider_pb2.ErrorResourceInitFailed(
            id=error.resource_id,
            properties=to_struct(error.outputs),
            inputs=to_struct(error.inputs),
            reasons=error.reasons,
        )
    )
    return _Status(
        code=code,
        details=str(error),
        trailing_metadata=(("grpc-status-details-bin", status.SerializeToString()),),
    )


def _handler(
    call: Callable[[Message], Message], method: MethodDescriptor
) -> "grpc.RpcMethodHandler[Message, Message]":
    def answer(request: Message, context: grpc.ServicerContext) -> Message:
        try:
            return call(request)
        except PluginError as exc:
            context.abort_with_status(_status(exc))

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=GetMessageClass(method.input_type).FromString,
        response_serializer=lambda response: response.SerializeToString(),
    )


def _handlers(plugin: Plugin) -> grpc.GenericRpcHandler:
    handlers = {}
    for method in _SERVICE.methods:
        call = getattr(plugin, re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower(), None)
        if call is not None:
            handlers[method.name] = _handler(call, method)
    return grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers)


def serve(plugin: Callable[[Engine], Plugin]) -> None:
    """Serves a plugin until the engine ends the process.

    The engine gives its address as the first argument, reads the port from the first line of
    stdout, and interrupts the process when the command is over.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_workers=_THREADS),
        handlers=[_handlers(plugin(Engine(sys.argv[1])))],
        options=[
            ("grpc.max_receive_message_length", _LONGEST_MESSAGE),
            ("grpc.max_send_message_length", _LONGEST_MESSAGE),
        ],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    ended.wait()
    server.stop(grace=None).wait()
