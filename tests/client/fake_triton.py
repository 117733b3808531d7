"""A server on 127.0.0.1 that speaks as much of Triton's HTTP as the client, and fails on demand.

What it generates behind each prompt are the tokens of `TEXT`.
"""

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self

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
    """What Triton answers to /v2/models/fastertransformer/config, as far as it matters here.

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


@dataclass(frozen=True, kw_only=True)
class Fault:
    """An answer that is not the right one; `raw` bytes before the connection is closed, if any."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    raw: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class FakeTriton:
    """Answers, but for `faults`, which are taken from the front, one a request.

    A stream goes on behind its first piece when `go_on` is set, as it is at first.
    """

    def __init__(
        self,
        model: Any = None,
        *,
        port: int = 0,
        certificate: Path | None = None,
        end_id: int = 1,
    ) -> None:
        self.model = model or config()
        self.end_id = end_id
        self.faults: deque[Fault] = deque()
        self.requests: list[Request] = []
        self.delay_s = 0.0
        self.between_s = 0.0
        self.go_on = threading.Event()
        self.go_on.set()
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

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def paths(self) -> list[str]:
        """The last parts of the paths that were asked for."""
        return [request.path.rpartition("/")[2] for request in self.requests]


class _Handler(BaseHTTPRequestHandler):
    triton: FakeTriton
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer("GET", None)

    def do_POST(self) -> None:
        self._answer("POST", json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, method: str, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.triton.requests.append(
            Request(method=method, path=self.path, headers=headers, body=body)
        )
        time.sleep(self.triton.delay_s)
        if self.triton.faults:
            fault = self.triton.faults.popleft()
            if fault.raw is None:
                self._send(fault.status, fault.headers, fault.body)
            else:
                self.wfile.write(fault.raw)
                self.close_connection = True
        elif self.path.endswith("/config"):
            self._send(200, {}, json.dumps(self.triton.model).encode())
        elif self.path.endswith("/infer"):
            self._send(200, {}, json.dumps(_inferred(body, self.triton.end_id)).encode())
        else:
            self._stream(body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, body: Any) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        longest = body["request_output_len"][0]
        for count in range(1, min(longest, len(TEXT)) + 1):
            values = streamed(body["input_ids"], count, longest, self.triton.end_id)
            event = f"data: {json.dumps(values)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
            self.triton.go_on.wait(5)
            time.sleep(self.triton.between_s)
        self.wfile.write(b"0\r\n\r\n")


def streamed(prompt: list[int], count: int, longest: int, end_id: int = 1) -> dict[str, Any]:
    """A response of a stream, after so many tokens."""
    return {
        "model_name": "fastertransformer",
        "output_ids": prompt + TEXT[:count] + [end_id] * (longest - count),
        "sequence_length": len(prompt) + count,
    }


def answer(prompt: list[int], longest: int) -> dict[str, Any]:
    """The answer to a request of one prompt."""
    return _answer([prompt], len(prompt), longest)


def _inferred(body: Any, end_id: int) -> dict[str, Any]:
    inputs = {tensor["name"]: tensor for tensor in body["inputs"]}
    rows, padded = inputs["input_ids"]["shape"]
    ids, lengths = inputs["input_ids"]["data"], inputs["input_lengths"]["data"]
    prompts = [ids[row * padded :][: lengths[row]] for row in range(rows)]
    return _answer(prompts, padded, inputs["request_output_len"]["data"][0], end_id)


def _answer(prompts: list[list[int]], padded: int, longest: int, end_id: int = 1) -> dict[str, Any]:
    text = TEXT[:longest]
    shape = [len(prompts), 1, padded + longest]
    width = shape[2] - len(text)
    ids = [[*prompt, *text, *[end_id] * (width - len(prompt))] for prompt in prompts]
    lengths = [padded + len(text)] * len(prompts)
    output: list[tuple[str, str, list[int], list[int]]] = [
        ("output_ids", "UINT32", shape, [token for row in ids for token in row]),
        ("sequence_length", "INT32", shape[:2], lengths),
    ]
    fields = ("name", "datatype", "shape", "data")
    return {"outputs": [dict(zip(fields, tensor, strict=True)) for tensor in output]}
