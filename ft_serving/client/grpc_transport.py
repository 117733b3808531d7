"""Triton's inference protocol over gRPC.

The generated stubs of tritonclient, on a channel of grpcio: a stream is an iterator that can be
cancelled, where tritonclient's own client calls back from a thread and has one stream at a time.
"""

import re
from collections.abc import Generator

import grpc
import numpy as np
from google.protobuf.json_format import MessageToDict
from tritonclient.grpc import service_pb2, service_pb2_grpc

from ft_serving import __version__
from ft_serving.client import refusal
from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import ClientError, InvalidRequestError
from ft_serving.client.model import ModelDescription
from ft_serving.client.refusal import Refusal
from ft_serving.client.tensors import DTYPES, datatype
from ft_serving.client.transport import (
    Inputs,
    not_through,
    not_trusted,
    noted,
    proxy_of,
    too_slow,
    unreachable,
)
from ft_serving.core.proxies import Proxy

# The HTTP status that Triton gives for the same error; Triton's own alone.
_STATUS = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}
# What grpcio's core says of connections, and Triton does not.
_NO_CONNECTION = ("all addresses", "Socket closed", "onnection reset", "GOAWAY")
_RECONNECT_MS = 2000


class GrpcTransport:
    """See `Transport`."""

    streams_batches = True

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: The server.
            model: The model's name there.
            timeout_s: Seconds that an inference may take, a whole stream included.

        Raises:
            InvalidRequestError: The file of certificates cannot be read, or the environment names a
                proxy that cannot be used.
        """
        self._endpoint = endpoint
        self._model = model
        self._timeout_s = timeout_s
        self._proxy = proxy_of(endpoint)
        if self._proxy and self._proxy.address.startswith("https"):
            raise InvalidRequestError(
                f"{self._proxy}: gRPC goes through a proxy with an http:// address only; "
                f"{self._proxy.remedy}, or ask the server over HTTP"
            )
        self._channel = _channel(endpoint, self._proxy)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._metadata: list[tuple[str, str]] = []
        if endpoint.token:
            self._metadata.append(("authorization", f"Bearer {endpoint.token}"))

    def describe(self, timeout_s: float) -> ModelDescription:
        """See `Transport`."""
        request = service_pb2.ModelConfigRequest(name=self._model)
        try:
            response = self._stub.ModelConfig(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.RpcError as exc:
            if exc.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                reason = f"no answer within {timeout_s:g} s"
                raise unreachable(self._endpoint, reason, self._proxy) from exc
            raise self._broken(exc) from exc
        config = MessageToDict(response.config, preserving_proto_field_name=True)
        return ModelDescription.from_config(config)

    def infer(self, inputs: Inputs) -> Answer:
        """See `Transport`."""
        try:
            response = self._stub.ModelInfer(
                self._request(inputs), timeout=self._timeout_s, metadata=self._metadata
            )
        except grpc.RpcError as exc:
            raise self._broken(exc) from exc
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
                    said = response.error_message
                    raise self._error(Refusal(status=500, said=said, from_triton=True))
                yield self._answer(response.infer_response)
        except grpc.RpcError as exc:
            raise self._broken(exc) from exc
        finally:
            responses.cancel()

    def close(self) -> None:
        """See `Transport`."""
        self._channel.close()

    def _request(self, inputs: Inputs) -> service_pb2.ModelInferRequest:
        request = service_pb2.ModelInferRequest(model_name=self._model)
        for name, tensor in inputs.items():
            request.inputs.add(name=name, datatype=datatype(tensor), shape=tensor.shape)
            request.raw_input_contents.append(tensor.tobytes())
        return request

    def _answer(self, response: service_pb2.ModelInferResponse) -> Answer:
        try:
            tensors = {
                output.name: np.frombuffer(content, DTYPES[output.datatype]).reshape(output.shape)
                for output, content in zip(
                    response.outputs, response.raw_output_contents, strict=True
                )
            }
        except (KeyError, ValueError) as exc:
            raise ClientError(
                f"{self._endpoint}: the answer is not one of the inference protocol ({exc!r})"
            ) from exc
        return Answer.from_tensors(tensors)

    def _error(self, refused: Refusal) -> ClientError:
        return refusal.error(refused, self._endpoint, self._model, self._proxy)

    def _broken(self, exc: grpc.RpcError) -> ClientError:
        code, said = exc.code(), exc.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return noted(too_slow(self._endpoint, self._timeout_s), self._proxy)
        # What stands before Triton answers in plain HTTP.
        plain = re.search(r"http2 header with status: (\d+)", said)
        if plain:
            return self._error(Refusal(status=int(plain[1]), said="", from_triton=False))
        if code is grpc.StatusCode.UNIMPLEMENTED and not said:
            return self._error(Refusal(status=404, said="", from_triton=False))
        if code is grpc.StatusCode.UNAVAILABLE:
            return self._unavailable(said)
        if "RST_STREAM" in said:
            # How a proxy says that the server behind it has broken off; Triton never does.
            return unreachable(self._endpoint, "the stream was reset", self._proxy)
        return self._error(Refusal(status=_STATUS.get(code, 500), said=said, from_triton=True))

    def _unavailable(self, said: str) -> ClientError:
        reason = said.rpartition(": ")[2].rstrip(".]")
        refused = re.search(r"HTTP proxy returned response code (\d+)", said)
        if self._proxy and refused:
            return not_through(self._endpoint, self._proxy, int(refused[1]))
        if "handshake failed" in said or "erification check failed" in said:
            cause = re.search(r"OPENSSL_internal:(\w+)(: (?!Invalid)[\w ]+)?", said)
            why = cause[0].partition(":")[2] if cause else reason
            return noted(not_trusted(self._endpoint, why), self._proxy)
        if "resolv" in said and self._proxy is None:
            return InvalidRequestError(
                f"No address is known for {self._endpoint.host!r} ({reason})"
            )
        if "resolv" in said or any(phrase in said for phrase in _NO_CONNECTION):
            # A server that stops looks like an HTTP port: it closes the connection.
            is_http = any(phrase in said for phrase in ("closed", "HTTP/2", "http1"))
            hint = "; is it an HTTP port? Triton's for gRPC is 8001" if is_http else ""
            return unreachable(self._endpoint, reason + hint, self._proxy)
        return self._error(Refusal(status=503, said=said, from_triton=True))


def _channel(endpoint: Endpoint, proxy: Proxy | None) -> grpc.Channel:
    options: list[tuple[str, str | int]] = [
        # grpcio's core reads the environment's proxies by rules of its own.
        ("grpc.enable_http_proxy", 0),
        ("grpc.primary_user_agent", f"ft-serving/{__version__}"),
        # A batch of long log probabilities is larger than the default of 4 MiB.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Waiting for a cold start, the default would not look again for up to two minutes.
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
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
        # With TLS, the name that the certificate must have, too.
        options.append(("grpc.default_authority", authority))
    if not endpoint.tls:
        return grpc.insecure_channel(target, options)
    roots = None
    if endpoint.ca_file:
        try:
            roots = endpoint.ca_file.read_bytes()
        except OSError as exc:
            raise InvalidRequestError(f"{endpoint.ca_file}: {exc.strerror}") from exc
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options)
