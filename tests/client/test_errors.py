"""Errors over HTTP and gRPC: each message has a remedy, and none a token."""

import socket

import pytest

from ft_serving.client import GenerationClient, InferenceProtocol
from ft_serving.client.errors import (
    ClientError,
    InvalidRequestError,
    OverloadError,
    SlowError,
    UnavailableError,
    UnknownModelError,
)
from tests.client.conftest import client
from tests.client.fake_grpc import FakeGrpc
from tests.client.fake_triton import TEXT, FakeServer, FakeTriton, Fault, config, error, gateway

INGRESS = "An ingress knows nothing of '127.0.0.1'.*--host-header"
QUEUE = "queue is full: send fewer requests at once"
RESET = "Stream removed (RST_STREAM (Received RST_STREAM with error code 2))"


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (error(404, "Request for unknown model: 'ft' is not found"), UnknownModelError, "no model"),
        (gateway(404, "404 page not found"), UnknownModelError, INGRESS),
        (error(400, "input 'input_ids' data-type is 'INT32', but"), ClientError, "has it changed"),
        (error(501, "doesn't support models with decoupled policy"), ClientError, "token by token"),
        (error(503, "Exceeds maximum queue size"), OverloadError, QUEUE),
        (gateway(429), OverloadError, QUEUE),
        (error(401, "Jwt is expired"), ClientError, "expired.*rejected the token in FT"),
        (error(403, "RBAC: access denied"), ClientError, "token in FT_SERVING_TOKEN may not"),
        (error(500, "CUDA out of memory"), ClientError, "CUDA out of memory. The server's log may"),
        (gateway(400, "Bad Request"), ClientError, "address of a Triton server?"),
        (gateway(503), UnavailableError, "'fastertransformer' is not ready"),
    ],
)
@pytest.mark.parametrize("moment", ["first", "later"])
def test_a_refusal_is_told_with_a_remedy(
    triton: FakeServer, fault: Fault, kind: type[ClientError], message: str, moment: str
) -> None:
    check(triton, fault, kind, message, moment)


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (error(404, "Not Found"), UnknownModelError, "Is the path of the address right?"),
        (
            Fault(status=404, headers={"Content-Type": "text/html"}, body=b"<html>nginx</html>"),
            UnknownModelError,
            rf"answered 404\. {INGRESS}",
        ),
        (gateway(503, "pending request queue full"), OverloadError, QUEUE),
        # A stream's refusal is an event.
        (
            Fault(status=400, body=b'data: {"error": "bad"}\n\n'),
            InvalidRequestError,
            "answered 400: bad$",
        ),
        (error(400, "a\nb\x1b[31m"), InvalidRequestError, r"answered 400: a b \[31m$"),
        (Fault(body=b"<html>Hello</html>"), ClientError, "something else than JSON"),
        (Fault(body=b"[1, 2]"), ClientError, "something else than JSON"),
        (Fault(body=b"{}"), ClientError, "(no configuration|not one of the inference protocol)"),
        # What a gRPC server sends first: an HTTP/2 frame of settings.
        (
            Fault(raw=b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\r\n"),
            ClientError,
            "does not speak HTTP. Is it the port for gRPC",
        ),
    ],
)
@pytest.mark.parametrize("moment", ["first", "later"])
def test_what_only_http_answers_is_told_with_a_remedy(
    over_http: FakeTriton, fault: Fault, kind: type[ClientError], message: str, moment: str
) -> None:
    check(over_http, fault, kind, message, moment)


@pytest.mark.parametrize(
    ("code", "details", "kind", "message"),
    [
        ("UNIMPLEMENTED", "", UnknownModelError, INGRESS),
        ("UNKNOWN", "", ClientError, "answered 500"),
        # Triton's HTTP port closes the connection at once.
        ("UNAVAILABLE", "Socket closed", UnavailableError, r"closed; is it an HTTP port\?"),
        ("INTERNAL", RESET, UnavailableError, "the stream was reset"),
        ("UNKNOWN", RESET, UnavailableError, "the stream was reset"),
    ],
)
def test_what_only_grpc_answers_is_told_with_a_remedy(
    over_grpc: FakeGrpc, code: str, details: str, kind: type[ClientError], message: str
) -> None:
    check(over_grpc, Fault(grpc=(code, details)), kind, message, "later")


def check(
    triton: FakeServer, fault: Fault, kind: type[ClientError], message: str, moment: str
) -> None:
    with client(triton) as asked:
        if moment == "later":
            asked.model()
        triton.faults.append(fault)
        with pytest.raises(kind, match=message) as refused:
            asked.generate_ids([[5]])
    assert type(refused.value) is kind
    assert "secret-token" not in str(refused.value)


def test_without_a_token_none_is_shown(
    over_http: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FT_SERVING_TOKEN", raising=False)
    over_http.faults.extend([gateway(401), gateway(403)])
    with GenerationClient(over_http.url, wait_s=0) as asked:
        for wanted in ("a bearer token", "a token that may"):
            with pytest.raises(ClientError, match=f"Set FT_SERVING_TOKEN to {wanted}"):
                asked.model()
    assert "authorization" not in over_http.requests[0].headers


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_text_that_takes_longer_than_a_gateway_allows_is_not_asked_for_again(
    triton: FakeServer, decoupled: bool
) -> None:
    triton.model = config(decoupled=decoupled)
    envoy = ("UNAVAILABLE", "upstream request timeout")
    with client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.append(Fault(status=504, body=b"upstream request timeout", grpc=envoy))
        with pytest.raises(SlowError, match="fewer tokens, or raise the gateway's timeout"):
            asked.generate_ids([[5]], output_length=1)
    assert len(triton.requests) == 2, "the server would compute the text for nobody each time"


def test_an_error_in_the_middle_of_a_stream_is_told(triton: FakeServer) -> None:
    triton.model = config(decoupled=True)
    with client(triton) as asked:
        asked.model()
        begun = Fault(streamed=(([5, TEXT[0], 1, 1, 1], 2),), ending="CUDA out of memory")
        triton.faults.append(begun)
        stream = asked.stream_ids([5], output_length=4)
        assert next(stream) == (TEXT[0],)
        with pytest.raises(ClientError, match="CUDA out of memory"):
            next(stream)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (b'{"sequence_length": 3}', "not FasterTransformer's"),
        (b'{"output_ids": [1, 2, 3]}', "not one of the inference protocol"),
        (b'{"output_ids": [1, 2, 3], "sequence_length": [2, 2]}', "not one of the inference"),
        (b'{"output_ids": "text", "sequence_length": 2}', "not one of the inference protocol"),
    ],
)
def test_a_stream_of_another_kind_is_refused(
    over_http: FakeTriton, values: bytes, message: str
) -> None:
    over_http.model = config(decoupled=True)
    over_http.faults.extend([None, Fault(body=b"data: " + values)])
    with client(over_http) as asked, pytest.raises(ClientError, match=message):
        next(asked.stream_ids([5]))


@pytest.mark.parametrize(
    ("streamed", "message"),
    [
        ((), "without an answer"),
        ((([5, *TEXT[:2], 1, 1], 3),), "before its text had ended; ask again"),
    ],
)
def test_a_stream_that_ends_too_early_is_told(
    triton: FakeServer, streamed: tuple[tuple[list[int], int], ...], message: str
) -> None:
    triton.model = config(decoupled=True)
    with client(triton) as asked:
        asked.model()
        triton.faults.extend([Fault(streamed=streamed)] * 2)
        with pytest.raises(ClientError, match=message):
            asked.generate_ids([[5]], output_length=4)
        with pytest.raises(ClientError, match=message):
            list(asked.stream_ids([5], output_length=4))


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_accepts_and_does_not_answer_yet_is_waited_for(
    triton: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ft_serving.client.patience.LONGEST_PROBE_S", 0.1)
    said: list[str] = []

    def say(message: str) -> None:
        said.append(message)
        triton.delay_s = 0

    triton.delay_s = 0.3
    with GenerationClient(triton.url, wait_s=60, say=say) as asked:
        asked.model()
    assert said[0].endswith(f": cannot reach {triton.url} (no answer within 0.1 s)")


def test_an_answer_that_takes_too_long_is_told(triton: FakeServer) -> None:
    with client(triton, timeout_s=0.1) as asked:
        asked.model()
        triton.delay_s = 0.3
        with pytest.raises(SlowError, match=r"within 0\.1 s; ask for fewer tokens.*--timeout"):
            asked.generate_ids([[5]])


def test_a_stream_may_take_no_longer_than_a_request(triton: FakeServer) -> None:
    triton.model = config(decoupled=True)
    with client(triton, timeout_s=0.5) as asked:
        asked.model()
        triton.between_s = 0.3
        pieces: list[tuple[int, ...]] = []
        with pytest.raises(SlowError, match=r"within 0\.5 s"):
            pieces.extend(asked.stream_ids([5], output_length=4))
    assert len(pieces) < 3, "another half second began with the second token"


@pytest.mark.parametrize(
    ("scheme", "host"), [("http", "ft.invalid"), ("http", 64 * "a"), ("grpc", 64 * "a")]
)
def test_a_name_without_an_address_is_not_waited_for(
    scheme: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    # grpcio resolves by itself, but asks nobody for a name that is longer than names may be.
    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    with (
        GenerationClient(f"{scheme}://{host}", wait_s=600) as asked,
        pytest.raises(InvalidRequestError, match=f"No address is known for '{host}'"),
    ):
        asked.model()


def test_a_server_without_tls_is_told_as_such(triton: FakeServer) -> None:
    scheme = triton.url.partition(":")[0]
    with (
        GenerationClient(triton.url.replace(scheme, f"{scheme}s", 1)) as asked,
        pytest.raises(ClientError, match=f"it has no TLS, an address that starts with {scheme}://"),
    ):
        asked.model()


def test_an_http_port_is_suspected_where_grpc_is_asked(over_http: FakeTriton) -> None:
    with (
        GenerationClient(over_http.url, protocol=InferenceProtocol.GRPC, wait_s=0) as asked,
        pytest.raises(ClientError, match=r"is it an HTTP port\? Triton's for gRPC is 8001"),
    ):
        asked.model()
