import socket
import time
from collections.abc import Iterator
from http import HTTPStatus

import pytest

from local_platform.errors import RefusedRequestError
from local_platform.hub import request
from local_platform.hub.request import HEAD_BYTES, RequestHeads, parse_head


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    client, server = socket.socketpair()
    with client, server:
        yield client, server


def test_a_head_is_parsed() -> None:
    parsed = parse_head(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nRANGE: bytes=0-1\r\n\r\n")
    assert (parsed.method, parsed.target) == ("GET", "/a?b=c")
    assert parsed.headers["range"] == "bytes=0-1"
    assert parsed.keeps_connection


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Close\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_connection_that_may_not_go_on_is_not_kept(head: bytes) -> None:
    assert not parse_head(head).keeps_connection


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"G\x1bT / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    ],
)
def test_what_is_not_http_is_refused(head: bytes) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        parse_head(head)
    assert caught.value.status == HTTPStatus.BAD_REQUEST


def test_heads_that_arrive_together_are_told_apart(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, server = pair
    client.sendall(b"\r\nGET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nGET /3")
    client.shutdown(socket.SHUT_WR)
    heads = RequestHeads(server)
    assert heads.next_head() == b"GET /1 HTTP/1.1\r\n\r\n"
    assert heads.next_head() == b"GET /2 HTTP/1.1\r\n\r\n"
    assert heads.next_head() is None, "a head that the client did not finish is none"


def test_a_head_beyond_the_bound_is_refused(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.sendall(b"GET / HTTP/1.1\r\nA: " + b"b" * HEAD_BYTES)
    with pytest.raises(RefusedRequestError, match="32768"):
        RequestHeads(server).next_head()


def test_a_head_that_drips_in_is_cut_off(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "HEAD_SECONDS", 0.2)
    client, server = pair
    client.sendall(b"GET / HTTP/1.1\r\n")
    started = time.monotonic()
    with pytest.raises(RefusedRequestError, match=r"0\.2 s"):
        RequestHeads(server).next_head()
    assert time.monotonic() - started < 5


def test_an_idle_connection_ends(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "IDLE_SECONDS", 0.2)
    assert RequestHeads(pair[1]).next_head() is None
