"""What goes wrong over HTTP is told with a remedy."""

import json
import socket
import time

import pytest

from ft_serving.client import GenerationClient
from ft_serving.client.errors import (
    ClientError,
    InvalidRequestError,
    OverloadError,
    SlowError,
    UnknownModelError,
)
from tests.client.asking import client, error
from tests.client.fake_triton import TEXT, FakeTriton, Fault, config, streamed


@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (
            error(404, "Request for unknown model: 'fastertransformer' is not found"),
            UnknownModelError,
            "has no model 'fastertransformer'. Name one that it serves",
        ),
        (error(404, "Not Found"), UnknownModelError, "Is the path of the address right?"),
        (
            Fault(status=404, headers={"Content-Type": "text/html"}, body=b"<html>nginx</html>"),
            UnknownModelError,
            r"answered 404\. An ingress knows nothing of '127.0.0.1'.*--host-header",
        ),
        (
            error(
                400, "inference input 'input_ids' data-type is 'UINT32', but model expects 'INT32'"
            ),
            ClientError,
            "configuration of 'fastertransformer'; has it changed since",
        ),
        (
            error(501, "HTTP end point doesn't support models with decoupled transaction policy"),
            ClientError,
            "has come to answer token by token",
        ),
        (
            error(503, "Exceeds maximum queue size"),
            OverloadError,
            "queue is full: send fewer requests at once",
        ),
        (
            Fault(status=503, body=b"pending request queue full"),
            OverloadError,
            "queue is full: send fewer requests at once",
        ),
        (Fault(status=429), OverloadError, "queue is full"),
        (
            Fault(status=401, body=b"Jwt is expired"),
            ClientError,
            "expired.*rejected the token in FT",
        ),
        (
            Fault(status=403, body=b"RBAC: access denied"),
            ClientError,
            "token in FT_SERVING_TOKEN may",
        ),
        (
            Fault(status=301, headers={"Location": "https://ft.example.com/v2"}),
            ClientError,
            "redirects to https://ft.example.com/v2; use that address",
        ),
        (
            error(500, "FasterTransformer execute failure: CUDA out of memory"),
            ClientError,
            "CUDA out of memory. The server's log may say more",
        ),
        (error(400, "a\nb\x1b[31m"), ClientError, r"answered 400: a b \[31m$"),
        (Fault(status=400, body=b"Bad Request"), ClientError, "address of a Triton server?"),
        (Fault(body=b"<html>Hello</html>"), ClientError, "something else than JSON"),
        (Fault(body=b"[1, 2]"), ClientError, "something else than JSON"),
        (Fault(body=b"{}"), ClientError, r"(no configuration|not one of the inference protocol)"),
    ],
)
@pytest.mark.parametrize("moment", ["first", "later"])
def test_what_goes_wrong_is_told_with_a_remedy(
    triton: FakeTriton, fault: Fault, kind: type[ClientError], message: str, moment: str
) -> None:
    with client(triton) as asked:
        if moment == "later":
            asked.model()
        triton.faults.append(fault)
        with pytest.raises(kind, match=message) as refused:
            asked.generate_ids([[5]])
    assert type(refused.value) is kind
    assert "secret-token" not in str(refused.value)


@pytest.mark.parametrize("decoupled", [False, True])
def test_a_text_that_takes_longer_than_a_gateway_allows_is_not_asked_for_again(
    decoupled: bool,
) -> None:
    late = Fault(status=504, body=b"upstream request timeout")
    with FakeTriton(config(decoupled=decoupled)) as triton, client(triton, wait_s=60) as asked:
        asked.model()
        triton.faults.append(late)
        with pytest.raises(
            SlowError, match=r"answered 504: upstream .*fewer tokens, or raise the gateway's"
        ):
            asked.generate_ids([[5]], output_length=1)
    assert len(triton.paths) == 2, "the server would compute the text for nobody each time"


def test_a_mistake_in_the_middle_of_a_stream_is_told() -> None:
    begun = f"data: {json.dumps(streamed([5], 1, 4))}\n\n"
    broken = f'{begun}data: {{"error": "CUDA out of memory"}}\n\n'.encode()
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        asked.model()
        triton.faults.append(Fault(body=broken))
        stream = asked.stream_ids([5], output_length=4)
        assert next(stream) == (TEXT[0],)
        with pytest.raises(ClientError, match="CUDA out of memory"):
            next(stream)


def test_a_refused_stream_is_told_as_such() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        asked.model()
        triton.faults.append(Fault(status=400, body=b'data: {"error": "bad input"}\n\n'))
        with pytest.raises(ClientError, match="answered 400: bad input"):
            next(asked.stream_ids([5]))


def test_a_stream_without_an_answer_is_told() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        asked.model()
        triton.faults.append(Fault(body=b"\n"))
        with pytest.raises(ClientError, match="without an answer"):
            asked.generate_ids([[5]])
        triton.faults.append(Fault(body=b"\n"))
        with pytest.raises(ClientError, match="without an answer"):
            list(asked.stream_ids([5]))


def test_a_stream_that_ends_before_its_text_is_told() -> None:
    short = Fault(body=f"data: {json.dumps(streamed([5], 2, 4))}\n\n".encode())
    with FakeTriton(config(decoupled=True)) as triton, client(triton) as asked:
        asked.model()
        triton.faults.extend([short, short])
        with pytest.raises(ClientError, match="before its text had ended; ask again"):
            asked.generate_ids([[5]], output_length=4)
        pieces = asked.stream_ids([5], output_length=4)
        assert next(pieces) == tuple(TEXT[:2])
        with pytest.raises(ClientError, match="before its text had ended; ask again"):
            next(pieces)


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_accepts_and_does_not_answer_yet_is_waited_for(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
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


def test_an_answer_that_takes_too_long_is_told(triton: FakeTriton) -> None:
    with client(triton, timeout_s=0.1) as asked:
        asked.model()
        triton.delay_s = 0.3
        with pytest.raises(SlowError, match=r"within 0\.1 s; ask for fewer tokens.*--timeout"):
            asked.generate_ids([[5]])


def test_a_stream_may_take_no_longer_than_a_request() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton, timeout_s=0.3) as asked:
        asked.model()
        triton.between_s = 0.2
        with pytest.raises(SlowError, match=r"within 0\.3 s"):
            list(asked.stream_ids([5], output_length=4))


def test_a_stream_that_stands_still_takes_no_longer_either() -> None:
    with FakeTriton(config(decoupled=True)) as triton, client(triton, timeout_s=1) as asked:
        asked.model()
        triton.between_s = 0.7
        stream = asked.stream_ids([5], output_length=4)
        begin = time.monotonic()
        next(stream)
        triton.between_s = 5
        next(stream)
        with pytest.raises(SlowError, match=r"within 1 s"):
            next(stream)
        assert time.monotonic() - begin < 1.4, "another second began with the last token"


def test_a_name_without_an_address_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    for host in ("ft.invalid", 64 * "a"):
        with (
            GenerationClient(f"http://{host}", wait_s=600) as asked,
            pytest.raises(InvalidRequestError, match=f"No address is known for '{host}' "),
        ):
            asked.model()


def test_what_does_not_speak_http_is_told(triton: FakeTriton) -> None:
    # What a gRPC server sends first: an HTTP/2 frame of settings.
    triton.faults.append(Fault(raw=b"\x00\x00\x18\x04\x00\x00\x00\x00\x00\r\n"))
    with (
        client(triton, wait_s=600) as asked,
        pytest.raises(ClientError, match=r"does not speak HTTP\. Is it the port for gRPC"),
    ):
        asked.model()
