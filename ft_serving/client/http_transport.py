"""Triton's inference protocol over HTTP: JSON both ways, server-sent events for streams.

urllib3 and not tritonclient's own HTTP client: that one has no `generate_stream`, runs on gevent,
which keeps its connections to one thread, and hides what an ingress says.

The protocol: KServe's "Open Inference Protocol", with Triton's extensions `model_configuration`
and `generate`.
"""

import http.client
import json
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
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
from ft_serving.client import refusal
from ft_serving.client.answer import Answer
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import ClientError, InvalidRequestError, SlowError
from ft_serving.client.model import ModelDescription
from ft_serving.client.refusal import Refusal
from ft_serving.client.tensors import DTYPES, datatype
from ft_serving.client.transport import (
    CONNECT_TIMEOUT_S,
    Inputs,
    not_through,
    not_trusted,
    noted,
    proxy_of,
    too_slow,
    unreachable,
)
from ft_serving.core.proxies import Proxy, open_pool, tunnel_status

CONNECTIONS_KEPT = 64
LONGEST_REFUSAL_BYTES = 1 << 16
LONGEST_QUOTE = 300
"""Characters of an answer that is not Triton's which go into a message."""


class HttpTransport:
    """See `Transport`; streams have one row, as Triton's generate endpoints do."""

    streams_batches = False

    def __init__(self, endpoint: Endpoint, model: str, timeout_s: float) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: The server.
            model: The model's name there.
            timeout_s: Seconds that an inference may take, a whole stream included.

        Raises:
            InvalidRequestError: The environment names a proxy that cannot be used.
        """
        self._endpoint = endpoint
        self._model = model
        self._timeout_s = timeout_s
        self._proxy = proxy_of(endpoint)
        self._pool = _pool(endpoint, self._proxy)
        scheme = "https" if endpoint.tls else "http"
        self._base = f"{scheme}://{endpoint.authority}{endpoint.path}/v2/models/{quote(model, '')}"
        self._headers = {
            "User-Agent": f"ft-serving/{__version__}",
            "Content-Type": "application/json",
        }
        if endpoint.host_header:
            self._headers["Host"] = endpoint.host_header
        if endpoint.token:
            self._headers["Authorization"] = f"Bearer {endpoint.token}"

    def describe(self, timeout_s: float) -> ModelDescription:
        """See `Transport`."""
        try:
            with self._asked("GET", "config", timeout_s) as response:
                return ModelDescription.from_config(self._parsed(response.read()))
        except SlowError as exc:
            reason = f"no answer within {timeout_s:g} s"
            raise unreachable(self._endpoint, reason, self._proxy) from exc

    def infer(self, inputs: Inputs) -> Answer:
        """See `Transport`."""
        body = {
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
        with self._asked("POST", "infer", self._timeout_s, body) as response:
            answer = self._parsed(response.read())
        try:
            tensors = {
                tensor["name"]: np.array(tensor["data"], DTYPES[tensor["datatype"]]).reshape(
                    tensor["shape"]
                )
                for tensor in answer["outputs"]
            }
        except (KeyError, TypeError, ValueError) as exc:
            raise ClientError(
                f"{self._endpoint}: the answer is not one of the inference protocol ({exc!r})"
            ) from exc
        return Answer.from_tensors(tensors)

    def stream(self, inputs: Inputs) -> Generator[Answer, None, None]:
        """See `Transport`; `inputs` has one row."""
        deadline = time.monotonic() + self._timeout_s
        # Flat: the endpoint puts the dimensions back itself.
        body = {name: tensor.ravel().tolist() for name, tensor in inputs.items()}
        with self._asked("POST", "generate_stream", self._timeout_s, body) as response:
            lines = iter(response)
            while (left := deadline - time.monotonic()) > 0:
                _limit_read(response, left)
                line = next(lines, None)
                if line is None:
                    return
                if line.startswith(b"data:"):
                    yield Answer.from_flat(self._event(line))
            raise noted(too_slow(self._endpoint, self._timeout_s), self._proxy)

    def close(self) -> None:
        """See `Transport`."""
        self._pool.clear()

    @contextmanager
    def _asked(
        self, method: str, what: str, timeout_s: float, body: object = None
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Open the answer to a request; what goes wrong while it is read is mapped, too."""
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
                    raise self._refused(response)
                yield response
            finally:
                response.close()
        except (HTTPError, OSError) as exc:
            raise self._broken(exc, timeout_s) from exc

    def _parsed(self, content: bytes) -> dict[str, Any]:
        try:
            # A dict of anything but an object is an error, too.
            return dict(json.loads(content))
        except (ValueError, TypeError) as exc:
            error = ClientError(
                f"{self._endpoint} answered with something else than JSON; is that the address of "
                f"a Triton server{self._endpoint.port_hint}?"
            )
            raise noted(error, self._proxy) from exc

    def _event(self, line: bytes) -> dict[str, Any]:
        values = self._parsed(line.removeprefix(b"data:"))
        if "error" in values:
            said = _plain(str(values["error"]))
            raise self._error(Refusal(status=500, said=said, from_triton=True))
        return values

    def _refused(self, response: urllib3.BaseHTTPResponse) -> ClientError:
        content = response.read(LONGEST_REFUSAL_BYTES)
        said = _triton_error(content)
        if said is None and "html" not in response.headers.get("Content-Type", ""):
            quoted = _plain(content.decode("utf-8", "replace"))[:LONGEST_QUOTE]
        else:
            quoted = said or ""
        return self._error(
            Refusal(
                status=response.status,
                said=quoted,
                from_triton=said is not None,
                location=response.get_redirect_location() or None,
            )
        )

    def _error(self, refused: Refusal) -> ClientError:
        return refusal.error(refused, self._endpoint, self._model, self._proxy)

    def _broken(self, exc: HTTPError | OSError, timeout_s: float) -> ClientError:
        # The libraries' own messages hold addresses of objects.
        cause: object = exc.args[-1] if exc.args else exc
        below = exc.__cause__
        while below is not None:
            cause, below = below, below.__cause__
        reason = (isinstance(cause, OSError) and cause.strerror) or str(cause).rpartition(": ")[2]
        if isinstance(exc, ReadTimeoutError):
            return noted(too_slow(self._endpoint, timeout_s), self._proxy)
        if self._proxy:
            status = tunnel_status(exc)
            if status is not None:
                return not_through(self._endpoint, self._proxy, status)
        elif isinstance(exc, (NameResolutionError, LocationValueError)):
            return InvalidRequestError(
                f"No address is known for {self._endpoint.host!r} ({reason})"
            )
        if isinstance(exc, SSLError):
            why = getattr(cause, "verify_message", "") or getattr(cause, "reason", "")
            return noted(not_trusted(self._endpoint, why or reason), self._proxy)
        # A closed connection is a bad status line, too, and may be open the next time.
        if isinstance(cause, http.client.BadStatusLine) and not isinstance(cause, OSError):
            error = ClientError(
                f"{self._endpoint} does not speak HTTP. Is it the port for gRPC? Triton's for "
                "HTTP is 8000 by default"
            )
            return noted(error, self._proxy)
        return unreachable(self._endpoint, reason, self._proxy)


def _pool(endpoint: Endpoint, proxy: Proxy | None) -> urllib3.PoolManager:
    settings: dict[str, Any] = {"maxsize": CONNECTIONS_KEPT}
    if endpoint.ca_file:
        settings["ca_certs"] = str(endpoint.ca_file)
    if endpoint.tls and endpoint.host_header:
        # An ingress has certificates for the names that it routes by, not for its address.
        settings["server_hostname"] = endpoint.host_header.partition(":")[0]
    return open_pool(proxy, **settings)


def _limit_read(response: urllib3.BaseHTTPResponse, seconds: float) -> None:
    """Let the next read take no longer: urllib3's own limit begins anew with each.

    Where a server closes its connection behind the answer, http.client has handed the socket on,
    and that limit stays.
    """
    connection = getattr(response.connection, "sock", None)
    if connection is not None:
        connection.settimeout(seconds)


def _triton_error(content: bytes) -> str | None:
    """The message of Triton's JSON or event, or None if it is neither."""
    try:
        values = json.loads(content.partition(b"\n\n")[0].removeprefix(b"data:"))
    except ValueError:
        return None
    if isinstance(values, dict) and isinstance(values.get("error"), str):
        return _plain(values["error"])
    return None


def _plain(text: str) -> str:
    """The text on one line, without what would control a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
