"""A gRPC server on 127.0.0.1 that speaks as much of Triton's protocol as the client."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2 as messages

from tests.client.fake_triton import FakeServer, Request, Rows, Tensor

TYPES = {"INT32": "<i4", "UINT32": "<u4", "UINT64": "<u8", "FP32": "<f4", "BOOL": "?"}


class FakeGrpc(FakeServer):
    """Answers over gRPC."""

    def __init__(self, *, port: int = 0, certificate: Path | None = None) -> None:
        super().__init__()
        self._server = grpc.server(ThreadPoolExecutor(4))
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        asked, answered = messages.ModelInferRequest, messages.ModelInferResponse
        config, described = messages.ModelConfigRequest, messages.ModelConfigResponse
        streamed = messages.ModelStreamInferResponse.SerializeToString
        methods = {
            "ModelConfig": unary(self._config, config.FromString, described.SerializeToString),
            "ModelInfer": unary(self._infer, asked.FromString, answered.SerializeToString),
            "ModelStreamInfer": stream(self._stream, asked.FromString, streamed),
        }
        # Not by the generated function: only generic handlers see the authority.
        service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", methods)
        self._server.add_generic_rpc_handlers([service])
        address = f"127.0.0.1:{port}"
        if certificate:
            pem = certificate.read_bytes()
            credentials = grpc.ssl_server_credentials([(pem, pem)])
            self.port = self._server.add_secure_port(address, credentials)
        else:
            self.port = self._server.add_insecure_port(address)
        self.url = f"grpc{'s' * bool(certificate)}://127.0.0.1:{self.port}"
        self._server.start()

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _begin(self, what: str, message: Any, context: Any) -> tuple[Request, Any]:
        """Note a request, and fail it if it is to fail; a fault that streams is returned."""
        # grpcio shows the authority nowhere else.
        host = context._rpc_event.call_details.host.decode()
        headers = {**dict(context.invocation_metadata()), "host": host}
        request = Request(what=what, headers=headers, inputs=_inputs(message))
        fault = self.fault(request)
        if fault and fault.streamed is None:
            code, details = fault.grpc
            context.abort(grpc.StatusCode[code], details)
        return request, fault

    def _config(self, message: Any, context: Any) -> Any:
        self._begin("config", message, context)
        return ParseDict({"config": self.model}, messages.ModelConfigResponse())

    def _infer(self, message: Any, context: Any) -> Any:
        request, _ = self._begin("infer", message, context)
        return _response(*self.answer(request))

    def _stream(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        context.add_callback(self.cancelled.set)
        for message in requests:
            request, fault = self._begin("stream", message, context)
            responses = self.responses(request)
            if fault:
                responses = (([row], length) for row, length in fault.streamed)
            for response in responses:
                yield messages.ModelStreamInferResponse(infer_response=_response(*response))
            if fault and fault.ending:
                yield messages.ModelStreamInferResponse(error_message=fault.ending)
            if fault and fault.ending is None:
                context.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed")


def _inputs(message: Any) -> dict[str, Tensor]:
    if not hasattr(message, "inputs"):
        return {}
    return {
        tensor.name: Tensor(
            tensor.datatype,
            list(tensor.shape),
            np.frombuffer(content, TYPES[tensor.datatype]).tolist(),
        )
        for tensor, content in zip(message.inputs, message.raw_input_contents, strict=True)
    }


def _response(rows: Rows, length: int) -> Any:
    ids = np.array(rows, np.uint32)[:, None]
    lengths = np.full(ids.shape[:2], length, np.int32)
    response = messages.ModelInferResponse(model_name="fastertransformer")
    response.outputs.add(name="output_ids", datatype="UINT32", shape=ids.shape)
    response.outputs.add(name="sequence_length", datatype="INT32", shape=lengths.shape)
    response.raw_output_contents.extend([ids.tobytes(), lengths.tobytes()])
    return response
