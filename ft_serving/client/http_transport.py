"""Speaks Triton's inference protocol over HTTP: JSON both ways, server-sent events for streams.

It uses urllib3, because tritonclient's own HTTP client has no `generate_stream`, runs on gevent,
which keeps its connections to one thread, and hides the answers of an ingress.

The protocol is KServe's "Open Inference Protocol", with Triton's extensions `model_configuration`
and `generate`.
"""

import http.client
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any
from urllib.parse import quote

import numpy as np
import urllib3
from urllib3.exceptions import (
    HTTPError,
    LocationValueError,
    NameResolutionError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.util import Timeout

from ft_serving import __version__
from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import ClientError
from ft_serving.client.tensors import DTYPES, datatype
from ft_serving.client.transport import Inputs, Transport
from ft_serving.core.proxies import Proxy, open_pool, tunnel_status

CONNECT_TIMEOUT_S = 10.0
CONNECTIONS_KEPT = 64
LONGEST_REFUSAL_BYTES = 1 << 16
LONGEST_QUOTE = 300
"""Most characters that a message quotes of an answer that is not Triton's."""


def address(endpoint: Endpoint) -> str:
    """Return the address below which requests go."""
    return f"{'https' if endpoint.tls else 'http'}://{endpoint.authority}{endpoint.path}"


def connections(endpoint: Endpoint, proxy: Proxy | None) -> urllib3.PoolManager:
    """Return connections to an endpoint, by its certificates and through a proxy, if any."""
    settings: dict[str, Any] = {"maxsize": CONNECTIONS_KEPT}
    if endpoint.ca_file:
        settings["ca_certs"] = str(endpoint.ca_file)
    if endpoint.tls and endpoint.host_header:
        # An ingress has certificates for the names that it routes by, not for its address.
        settings["server_hostname"] = endpoint.host_header.partition(":")[0]
    return open_pool(proxy, **settings)


def headers(endpoint: Endpoint) -> dict[str, str]:
    """Return the headers of requests with JSON to an endpoint."""
    found = {"User-Agent": f"ft-serving/{__version__}", "Content-Type": "application/json"}
    if endpoint.host_header:
        found["Host"] = endpoint.host_header
    if endpoint.token:
        found["Authorization"] = f"Bearer {endpoint.token}"
    return found


class HttpTransport(Transport):
    """Connections of a pool; streams have one row, as Triton's generate endpoints do."""

    streams_batches = False

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        super().__init__(endpoint, model, timeout_s)
        self._pool = connections(endpoint, self._proxy)
        self._base = f"{address(endpoint)}/v2/models/{quote(model, '')}"
        self._headers = headers(endpoint)
        self._read_json: Callable[[bytes], Any] = json.loads

    def infer(self, inputs: Inputs) -> Answer:
        """See `Transport`."""
        with self._asked("POST", "infer", self._timeout_s, whole(inputs)) as response:
            return self._answer(response.read())

    def stream(self, inputs: Inputs) -> Generator[Answer, None, None]:
        """See `Transport`; `inputs` has one row."""
        deadline = time.monotonic() + self._timeout_s
        body = flat({name: tensor.tolist() for name, tensor in inputs.items()})
        with self._asked("POST", "generate_stream", self._timeout_s, body) as response:
            lines = iter(response)
            while (left := deadline - time.monotonic()) > 0:
                # urllib3's own limit begins anew with each read. It stays where a server closes
                # its connection behind the answer, because http.client has handed the socket on.
                socket = getattr(response.connection, "sock", None)
                if socket is not None:
                    socket.settimeout(left)
                line = next(lines, None)
                if line is None:
                    return
                if line.startswith(b"data:"):
                    yield self.unflattened(self._event(line.removeprefix(b"data:")))
            raise self._too_slow(self._timeout_s)

    def close(self) -> None:
        """See `Transport`."""
        self._pool.clear()

    def _config(self, timeout_s: float) -> Mapping[str, Any]:
        with self._asked("GET", "config", timeout_s) as response:
            return self._parsed(response.read())

    @contextmanager
    def _asked(
        self, method: str, what: str, timeout_s: float, body: object = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Open the answer to a request; an error while it is read becomes a ClientError, too."""
        try:
            response = self._pool.request(
                method,
                f"{self._base}/{what}",
                body=None if body is None else json.dumps(body).encode(),
                headers=self._headers,
                preload_content=False,
                # A token must not follow where an answer leads.
                redirect=False,
                retries=False,
                timeout=Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
            )
            try:
                if response.status != 200:
                    raise self._refusal(
                        response.status,
                        response.read(LONGEST_REFUSAL_BYTES),
                        response.headers,
                        response.get_redirect_location() or None,
                    )
                yield response
            finally:
                response.close()
        except (HTTPError, OSError) as exc:
            raise self._broken(exc, timeout_s) from exc

    def _answer(self, content: bytes) -> Answer:
        """Return the tensors of a whole answer."""
        answer = self._parsed(content)
        with self.decoding():
            return {
                tensor["name"]: np.array(tensor["data"], DTYPES[tensor["datatype"]]).reshape(
                    tensor["shape"]
                )
                for tensor in answer["outputs"]
            }

    def _event(self, content: bytes) -> dict[str, Any]:
        """Return the values of a stream's event; raise the error that it has instead."""
        values = self._parsed(content)
        if "error" in values:
            raise self._refused(500, _plain(str(values["error"])), from_triton=True)
        return values

    def unflattened(self, values: Mapping[str, Any]) -> Answer:
        """Return one prompt's tensors from the flat lists of Triton's generate endpoints."""
        with self.decoding():
            lengths = np.array(values["sequence_length"], np.int64).reshape(1, -1)
            answer: dict[str, Any] = {"sequence_length": lengths}
            for name, dtype, shape in (
                ("output_ids", np.int64, (*lengths.shape, -1)),
                ("cum_log_probs", np.float32, lengths.shape),
                ("output_log_probs", np.float32, (*lengths.shape, -1)),
            ):
                if name in values:
                    answer[name] = np.array(values[name], dtype).reshape(shape)
            return answer

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            # A dict of anything but an object is an error, too.
            return dict(self._read_json(content))
        except (ValueError, TypeError) as exc:
            error = ClientError(
                f"{self._endpoint} answered with something else than JSON; is that the address of "
                f"a Triton server{self._endpoint.port_hint}?"
            )
            raise self._noted(error) from exc

    def _refusal(
        self, status: int, content: bytes, headers: Mapping[str, str], location: str | None
    ) -> ClientError:
        try:
            # Triton's JSON, or its event.
            said = json.loads(content.partition(b"\n\n")[0].removeprefix(b"data:"))["error"]
        except (ValueError, TypeError, LookupError):
            said = None
        if isinstance(said, str):
            return self._refused(status, _plain(said), from_triton=True, location=location)
        is_page = "html" in headers.get("Content-Type", "")
        quoted = "" if is_page else _plain(content.decode("utf-8", "replace"))[:LONGEST_QUOTE]
        return self._refused(status, quoted, from_triton=False, location=location)

    def _broken(self, exc: HTTPError | OSError, timeout_s: float) -> ClientError:
        # The libraries' own messages hold addresses of objects.
        cause: object = exc.args[-1] if exc.args else exc
        below = exc.__cause__
        while below is not None:
            cause, below = below, below.__cause__
        reason = (isinstance(cause, OSError) and cause.strerror) or str(cause).rpartition(": ")[2]
        if isinstance(exc, ReadTimeoutError):
            return self._too_slow(timeout_s)
        if self._proxy:
            status = tunnel_status(exc)
            if status is not None:
                return self._not_through(self._proxy, status)
        elif isinstance(exc, (NameResolutionError, LocationValueError)):
            return self._no_address(reason)
        if isinstance(exc, SSLError):
            why = getattr(cause, "verify_message", "") or getattr(cause, "reason", "")
            return self._not_trusted(why or reason)
        # A closed connection is a bad status line, too, and may be open the next time.
        if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, OSError):
            return self._noted(
                ClientError(
                    f"{self._endpoint} does not speak HTTP. Is it the port for gRPC? Triton's for "
                    "HTTP is 8000 by default"
                )
            )
        return self._unreachable(reason)


def whole(inputs: Inputs) -> dict[str, Any]:
    """Return the body of a request for a whole answer."""
    return {
        "inputs": [
            {
                "name": name,
                "datatype": datatype(tensor),
                "shape": tensor.shape,
                "data": tensor.ravel().tolist(),
            }
            for name, tensor in inputs.items()
        ]
    }


def flat(rows: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Return the body of a request for a stream of one row.

    Triton puts the dimensions back itself.
    """
    return {
        name: [*chain(*row)] if isinstance(row[0], list) else row for name, [row] in rows.items()
    }


def _plain(text: str) -> str:
    """Return the text on one line, without characters that would control a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
