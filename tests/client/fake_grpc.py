"""A gRPC server on 127.0.0.1 that speaks as much of Triton's protocol as the client.

What it generates behind each prompt are the tokens of `TEXT`.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2 as messages

from tests.client.fake_triton import TEXT, config


@dataclass(frozen=True, kw_only=True)
class Call:
    """What was asked, and by whom."""

    method: str
    host: str
    metadata: dict[str, str]
    request: Any


class FakeGrpc:
    """Answers, but for `faults`: codes and messages, taken from the front, one a call."""

    def __init__(
        self, model: Any = None, *, port: int = 0, certificate: Path | None = None
    ) -> None:
        self.faults: deque[tuple[grpc.StatusCode, str]] = deque()
        self.calls: list[Call] = []
        self.cancelled = 0
        self.delay_s = 0.0
        self._model = model or config()
        self._server = grpc.server(ThreadPoolExecutor(4))
        unary, stream = (
            grpc.unary_unary_rpc_method_handler,
            grpc.stream_stream_rpc_method_handler,
        )
        handlers = {
            "ModelConfig": unary(
                self._config,
                messages.ModelConfigRequest.FromString,
                messages.ModelConfigResponse.SerializeToString,
            ),
            "ModelInfer": unary(
                self._infer,
                messages.ModelInferRequest.FromString,
                messages.ModelInferResponse.SerializeToString,
            ),
            "ModelStreamInfer": stream(
                self._stream,
                messages.ModelInferRequest.FromString,
                messages.ModelStreamInferResponse.SerializeToString,
            ),
        }
        service = "inference.GRPCInferenceService"
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(service, handlers)]
        )
        if certificate:
            pem = certificate.read_bytes()
            credentials = grpc.ssl_server_credentials([(pem, pem)])
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        else:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self.url = f"grpc{'s' * bool(certificate)}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()

    def _called(self, method: str, request: Any, context: Any) -> None:
        metadata = dict(context.invocation_metadata())
        # grpcio shows the authority nowhere else.
        host = context._rpc_event.call_details.host.decode()
        self.calls.append(Call(method=method, host=host, metadata=metadata, request=request))
        time.sleep(self.delay_s)
        if self.faults:
            context.abort(*self.faults.popleft())

    def _config(self, request: Any, context: Any) -> Any:
        self._called("ModelConfig", request, context)
        return ParseDict({"config": self._model}, messages.ModelConfigResponse())

    def _infer(self, request: Any, context: Any) -> Any:
        self._called("ModelInfer", request, context)
        longest = int(inputs(request)["request_output_len"][0, 0])
        return _answer(request, min(longest, len(TEXT)), longest)

    def _stream(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        context.add_callback(self._end)
        for request in requests:
            self._called("ModelStreamInfer", request, context)
            longest = int(inputs(request)["request_output_len"][0, 0])
            for count in range(1, longest + 1):
                if count > len(TEXT):
                    yield messages.ModelStreamInferResponse(error_message="CUDA out of memory")
                    return
                response = _answer(request, count, longest)
                yield messages.ModelStreamInferResponse(infer_response=response)

    def _end(self) -> None:
        self.cancelled += 1


def inputs(request: Any) -> dict[str, Any]:
    """A request's tensors."""
    types = {"INT32": "<i4", "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "BOOL": "?"}
    return {
        tensor.name: np.frombuffer(content, types[tensor.datatype]).reshape(tensor.shape)
        for tensor, content in zip(request.inputs, request.raw_input_contents, strict=True)
    }


def _answer(request: Any, count: int, longest: int) -> Any:
    given = inputs(request)
    rows, padded = given["input_ids"].shape
    ids = np.ones((rows, 1, padded + longest), np.uint32)
    for row, length in enumerate(given["input_lengths"][:, 0]):
        ids[row, 0, :length] = given["input_ids"][row, :length]
        ids[row, 0, length : length + count] = TEXT[:count]
    lengths = np.full((rows, 1), padded + count, np.int32)
    response = messages.ModelInferResponse(model_name="fastertransformer")
    response.outputs.add(name="output_ids", datatype="UINT32", shape=ids.shape)
    response.outputs.add(name="sequence_length", datatype="INT32", shape=lengths.shape)
    response.raw_output_contents.extend([ids.tobytes(), lengths.tobytes()])
    return response
