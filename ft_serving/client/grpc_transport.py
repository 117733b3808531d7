"""Speaks Triton's inference protocol over gRPC.

It uses the generated stubs of tritonclient on a channel of grpcio, because their streams are
iterators that can be cancelled; tritonclient's own client calls back from a thread and has one
stream at a time.
"""

import re
from collections.abc import Generator, Mapping
from typing import Any

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ft_serving import __version__
from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import ClientError, InvalidRequestError
from ft_serving.client.tensors import DTYPES, datatype
from ft_serving.client.transport import Inputs, Transport
from ft_serving.core.proxies import Proxy

# The HTTP status that Triton gives for the same error.
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}
# grpcio's core says this of connections, and Triton does not.
_NO_CONNECTION = ("resolv", "all addresses", "Socket closed", "onnection reset", "GOAWAY")


class GrpcTransport(Transport):
    """Connections by one channel."""

    streams_batches = True

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        super().__init__(endpoint, model, timeout_s)
        if self._proxy and self._proxy.address.startswith("https"):
            raise InvalidRequestError(
                f"{self._proxy}: gRPC goes through a proxy with an http:// address only; "
                f"{self._proxy.remedy}, or ask the server over HTTP"
            )
        self._channel = _channel(endpoint, self._proxy)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata = [("authorization", f"Bearer {endpoint.token}")] if endpoint.token else []

    def infer(self, inputs: Inputs) -> Answer:
        """See `Transport`."""
        try:
            response = self._stub.ModelInfer(
                self._request(inputs), timeout=self._timeout_s, metadata=self._metadata
            )
        except grpc.RpcError as exc:
            raise self._broken(exc, self._timeout_s) from exc
        return self._answer(response)

    def stream(self, inputs: Inputs) -> Generator[Answer, None, None]:
        """See `Transport`."""
        # The end of the requests makes Triton end the stream behind the last response.
        responses = self._stub.ModelStreamInfer(
            iter([self._request(inputs)]), timeout=self._timeout_s, metadata=self._metadata
        )
        try:
            for response in responses:
                if response.error_message:
                    raise self._refused(500, response.error_message, from_triton=True)
                yield self._answer(response.infer_response)
        except grpc.RpcError as exc:
            raise self._broken(exc, self._timeout_s) from exc
        finally:
            responses.cancel()

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()

    def _config(self, timeout_s: float) -> Mapping[str, Any]:
        request = service_pb2.ModelConfigRequest(name=self._model)
        try:
            response = self._stub.ModelConfig(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as exc:
            raise self._broken(exc, timeout_s) from exc
        return MessageToDict(response.config, preserving_proto_field_name=True)

    def _request(self, inputs: Inputs) -> service_pb2.ModelInferRequest:
        request = service_pb2.ModelInferRequest(model_name=self._model)
        for name, tensor in inputs.items():
            request.inputs.add(name=name, datatype=datatype(tensor), shape=tensor.shape)
            request.raw_input_contents.append(tensor.tobytes())
        return request

    def _answer(self, response: service_pb2.ModelInferResponse) -> Answer:
        pairs = zip(response.outputs, response.raw_output_contents, strict=True)
        with self.decoding():
            return {
                output.name: np.frombuffer(content, DTYPES[output.datatype]).reshape(output.shape)
                for output, content in pairs
            }

    def _broken(self, exc: grpc.RpcError, timeout_s: float) -> ClientError:
        code, said = exc.code(), exc.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._too_slow(timeout_s)
        # A gateway in front of Triton answers in plain HTTP.
        if plain := re.search(r"http2 header with status: (\d+)", said):
            return self._refused(int(plain[1]), "", from_triton=False)
        if code is grpc.StatusCode.UNIMPLEMENTED and not said:
            return self._refused(404, "", from_triton=False)
        if code is grpc.StatusCode.UNAVAILABLE:
            return self._unavailable(said)
        if "RST_STREAM" in said:
            # A proxy says so where the server behind it has broken off; Triton never does.
            return self._unreachable("the stream was reset")
        return self._refused(_STATUS.get(code, 500), said, from_triton=True)

    def _unavailable(self, said: str) -> ClientError:
        reason = said.rpartition(": ")[2].rstrip(".]")
        refused = re.search(r"HTTP proxy returned response code (\d+)", said)
        if self._proxy and refused:
            return self._not_through(self._proxy, int(refused[1]))
        if "handshake failed" in said or "erification check failed" in said:
            cause = re.search(r"OPENSSL_internal:(\w+)(: (?!Invalid)[\w ]+)?", said)
            return self._not_trusted(cause[0].partition(":")[2] if cause else reason)
        if "resolv" in said and self._proxy is None:
            return self._no_address(reason)
        if any(phrase in said for phrase in _NO_CONNECTION):
            # An HTTP port closes the connection, as a server that stops does.
            is_http = any(phrase in said for phrase in ("closed", "HTTP/2", "http1"))
            hint = "; is it an HTTP port? Triton's for gRPC is 8001" if is_http else ""
            return self._unreachable(reason + hint)
        return self._refused(503, said, from_triton=True)


def _channel(endpoint: Endpoint, proxy: Proxy | None) -> grpc.Channel:
    options: list[tuple[str, str | int]] = [
        # grpcio's core reads the environment's proxies by rules of its own.
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", f"ft-serving/{__version__}"),
        # A batch of long log probabilities is larger than the default of 4 MiB.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # By default, the core waits up to two minutes before it connects again to a cold server.
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    target, authority = endpoint.authority, endpoint.host_header
    if proxy:
        # The core's name for a connection that a proxy opens by CONNECT.
        options.append(("grpc.http_connect_server", target))
        lines = "\n".join(f"{name}:{value}" for name, value in proxy.headers.items())
        options.append(("grpc.http_connect_headers", lines))
        authority = authority or target
        target = proxy.address.partition("://")[2]
    if authority:
        # With TLS, the certificate must have this name, too.
        options.append(("grpc.default_authority", authority))
    if not endpoint.tls:
        return grpc.insecure_channel(target, options)
    try:
        roots = endpoint.ca_file.read_bytes() if endpoint.ca_file else None
    except OSError as exc:
        raise InvalidRequestError(f"{endpoint.ca_file}: {exc.strerror}") from exc
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options)
