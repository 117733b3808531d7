"""Servers on 127.0.0.1 that speak as much of Triton's protocol as the client, and fail on demand.

They generate the tokens of `TEXT` behind each prompt.
"""

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from ft_serving.core import protocol
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.parameters import INPUTS

NO_LIMITS = LengthLimits()

TEXT = [348, 434, 954, 357]
"""In tiny-gptj's tokenizer: " Its fleece is"."""


def config(
    integers: str = "UINT32",
    *,
    decoupled: bool = False,
    without: str = "",
    parameters: Mapping[str, str] = MappingProxyType({}),
    limits: LengthLimits = NO_LIMITS,
) -> Any:
    """Return Triton's description of its model, as far as the client reads it.

    Args:
        integers: The data type of token ids and counts.
        decoupled: Whether the model streams.
        without: An input that the model does not have.
        parameters: Those of config.pbtxt.
        limits: How long prompts and answers may be.
    """
    return {
        "name": "fastertransformer",
        "max_batch_size": 4,
        "model_transaction_policy": {"decoupled": decoupled},
        "input": [
            {
                "name": tensor.name,
                "data_type": f"TYPE_{tensor.dtype}".replace("TYPE_UINT32", f"TYPE_{integers}"),
                "dims": list(tensor.dims),
                "optional": tensor.optional,
            }
            for tensor in INPUTS
            if tensor.name != without
        ],
        "output": [
            {"name": tensor.name, "data_type": f"TYPE_{tensor.dtype}", "dims": list(tensor.dims)}
            for tensor in protocol.OUTPUTS
        ],
        "parameters": {
            name: {"string_value": value}
            for name, value in {**limits.to_parameters(), **parameters}.items()
        },
    }


Rows = list[list[int]]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An answer that is not the right one, over either protocol.

    Attributes:
        raw: Bytes before the HTTP connection is closed, in place of an answer.
        grpc: The name of gRPC's code, and its details.
        streamed: Responses of a stream of one prompt: its row and sequence_length.
        ending: The error message behind them, if any; with None, a lost connection.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None
    grpc: tuple[str, str] = ("UNKNOWN", "")
    streamed: tuple[tuple[list[int], int], ...] | None = None
    ending: str | None = ""


CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}


def error(status: int, message: str) -> Fault:
    """Return a refusal as Triton gives it."""
    body = json.dumps({"error": message}).encode()
    return Fault(status=status, body=body, grpc=(CODES[status], message))


def gateway(status: int, said: str = "") -> Fault:
    """Return a refusal of what stands before Triton."""
    details = f"Received http2 header with status: {status}"
    return Fault(status=status, body=said.encode(), grpc=("UNAVAILABLE", details))


DROPPED = Fault(raw=b"", grpc=("UNAVAILABLE", "Socket closed"))
"""A connection that the server closes in place of an answer."""


class Tensor(NamedTuple):
    """An input as it was sent; streams over HTTP have neither data type nor shape."""

    datatype: str
    shape: list[int]
    data: list[Any]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A request: `config`, `infer` or `stream`, with its headers in lower case."""

    what: str
    path: str = ""
    headers: dict[str, str]
    body: Any = None
    inputs: dict[str, Tensor] = field(default_factory=dict)


class FakeServer:
    """Answers, but for `faults`: one a request, taken from the front; None is the right answer.

    A stream goes on behind its first piece when `go_on` is set, as it is at first.
    """

    def __init__(self) -> None:
        self.model = config()
        self.end_id = 1
        self.faults: deque[Fault | None] = deque()
        self.requests: list[Request] = []
        self.delay_s = 0.0
        self.between_s = 0.0
        self.go_on = threading.Event()
        self.go_on.set()
        self.cancelled = threading.Event()
        self.url = ""
        self.port = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Answer no more."""

    @property
    def asked(self) -> list[str]:
        """The kinds of requests that came."""
        return [request.what for request in self.requests]

    def fault(self, request: Request) -> Fault | None:
        """Note a request, and return how it fails, if it is to fail."""
        self.requests.append(request)
        time.sleep(self.delay_s)
        return self.faults.popleft() if self.faults else None

    def answer(self, request: Request, count: int = len(TEXT)) -> tuple[Rows, int]:
        """Return the rows of output_ids after so many tokens, and their sequence_length."""
        ids, lengths = request.inputs["input_ids"].data, request.inputs["input_lengths"].data
        longest, padded = request.inputs["request_output_len"].data[0], len(ids) // len(lengths)
        count = min(count, longest)
        rows = [
            [*ids[row * padded :][:length], *TEXT[:count]] for row, length in enumerate(lengths)
        ]
        width = padded + longest
        return [[*row, *[self.end_id] * (width - len(row))] for row in rows], padded + count

    def responses(self, request: Request) -> Iterator[tuple[Rows, int]]:
        """Give the responses of a stream."""
        longest = request.inputs["request_output_len"].data[0]
        for count in range(1, min(longest, len(TEXT)) + 1):
            yield self.answer(request, count)
            self.go_on.wait(5)
            time.sleep(self.between_s)


class FakeTriton(FakeServer):
    """Answers over HTTP."""

    def __init__(self, *, port: int = 0, certificate: Path | None = None) -> None:
        super().__init__()
        fake = self

        class Handler(_Handler):
            triton = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    triton: FakeTriton
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.triton.cancelled.set()

    def do_GET(self) -> None:
        self._answer("config", None, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("/infer"):
            inputs = {
                each["name"]: Tensor(each["datatype"], each["shape"], each["data"])
                for each in body["inputs"]
            }
            self._answer("infer", body, inputs)
        else:
            inputs = {name: Tensor("", [], data) for name, data in body.items()}
            self._answer("stream", body, inputs)

    def _answer(self, what: str, body: Any, inputs: dict[str, Tensor]) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(what=what, path=self.path, headers=headers, body=body, inputs=inputs)
        fault = self.triton.fault(request)
        if fault and fault.streamed is not None:
            self._stream((([row], length) for row, length in fault.streamed), fault.ending)
        elif fault and fault.raw is not None:
            self.wfile.write(fault.raw)
            self.close_connection = True
        elif fault:
            self._send(fault.status, fault.headers, fault.body)
        elif what == "config":
            self._send(200, {}, json.dumps(self.triton.model).encode())
        elif what == "infer":
            rows, length = self.triton.answer(request)
            shape = [len(rows), 1, len(rows[0])]
            tensors = (
                ("output_ids", "UINT32", shape, [token for row in rows for token in row]),
                ("sequence_length", "INT32", shape[:2], [length] * len(rows)),
            )
            names = ("name", "datatype", "shape", "data")
            outputs = [dict(zip(names, tensor, strict=True)) for tensor in tensors]
            self._send(200, {}, json.dumps({"outputs": outputs}).encode())
        else:
            self._stream(self.triton.responses(request))

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, responses: Iterator[tuple[Rows, int]], ending: str | None = "") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for rows, length in responses:
            self._event({"output_ids": rows[0], "sequence_length": length})
        if ending:
            self._event({"error": ending})
        if ending is not None:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = ending is None

    def _event(self, values: dict[str, Any]) -> None:
        event = f"data: {json.dumps(values)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
