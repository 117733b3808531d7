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
from ft_serving.client.errors import ClientError, RequestError, ServerError
from ft_serving.client.model import ModelDescription
from ft_serving.client.refusal import Refusal
from ft_serving.client.tensors import DTYPES, datatype
from ft_serving.client.transport import Inputs, not_trusted, too_slow, unreachable

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
            RequestError: The file of certificates cannot be read.
        """
        self._endpoint = endpoint
        self._model = model
        self._timeout_s = timeout_s
        self._channel = _channel(endpoint)
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
                raise unreachable(self._endpoint, f"no answer within {timeout_s:g} s") from exc
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
            raise ServerError(
                f"{self._endpoint}: the answer is not one of the inference protocol ({exc!r})"
            ) from exc
        return Answer.from_tensors(tensors)

    def _error(self, refused: Refusal) -> ClientError:
        return refusal.error(refused, self._endpoint, self._model)

    def _broken(self, exc: grpc.RpcError) -> ClientError:
        code, said = exc.code(), exc.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return too_slow(self._endpoint, self._timeout_s)
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
            return unreachable(self._endpoint, "the stream was reset")
        return self._error(Refusal(status=_STATUS.get(code, 500), said=said, from_triton=True))

    def _unavailable(self, said: str) -> ClientError:
        reason = said.rpartition(": ")[2].rstrip(".]")
        if "handshake failed" in said or "erification check failed" in said:
            cause = re.search(r"OPENSSL_internal:(\w+)(: (?!Invalid)[\w ]+)?", said)
            return not_trusted(self._endpoint, cause[0].partition(":")[2] if cause else reason)
        if "resolv" in said:
            return RequestError(f"No address is known for {self._endpoint.host!r} ({reason})")
        if any(phrase in said for phrase in _NO_CONNECTION):
            # A server that stops looks like an HTTP port: it closes the connection.
            is_http = any(phrase in said for phrase in ("closed", "HTTP/2", "http1"))
            hint = "; is it an HTTP port? Triton's for gRPC is 8001" if is_http else ""
            return unreachable(self._endpoint, reason + hint)
        return self._error(Refusal(status=503, said=said, from_triton=True))


def _channel(endpoint: Endpoint) -> grpc.Channel:
    options: list[tuple[str, str | int]] = [
        ("grpc.primary_user_agent", f"ft-serving/{__version__}"),
        # A batch of long log probabilities is larger than the default of 4 MiB.
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        # Waiting for a cold start, the default would not look again for up to two minutes.
        ("grpc.max_reconnect_backoff_ms", _RECONNECT_MS),
    ]
    if endpoint.host_header:
        # With TLS, the name that the certificate must have, too.
        options.append(("grpc.default_authority", endpoint.host_header))
    if not endpoint.tls:
        return grpc.insecure_channel(endpoint.authority, options)
    roots = None
    if endpoint.ca_file:
        try:
            roots = endpoint.ca_file.read_bytes()
        except OSError as exc:
            raise RequestError(f"{endpoint.ca_file}: {exc.strerror}") from exc
    return grpc.secure_channel(endpoint.authority, grpc.ssl_channel_credentials(roots), options)
