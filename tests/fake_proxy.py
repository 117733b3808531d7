"""An HTTP proxy on 127.0.0.1 that leads every host to this machine, or refuses."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field


@dataclass(kw_only=True)
class FakeProxy:
    """A proxy that records its requests.

    Attributes:
        refusal: The HTTP status of every answer; 0 leads on.
        port: Where it listens.
        requests: The first lines and headers of requests.
    """

    refusal: int = 0
    port: int = 0
    requests: list[str] = field(default_factory=list)

    def serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536) or b"\r\n\r\n"
            self.requests.append(head.decode("latin-1"))
            if self.refusal:
                answer = f"HTTP/1.1 {self.refusal} No\r\nContent-Length: 0\r\n\r\n"
                connection.sendall(answer.encode())
                return
            method, target, _ = head.decode("latin-1").split(maxsplit=2)
            authority = target.removeprefix("http://").partition("/")[0]
            port = int(authority.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as server:
                if method == "CONNECT":
                    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                else:
                    server.sendall(head)
                back = threading.Thread(target=_pump, args=(server, connection), daemon=True)
                back.start()
                _pump(connection, server)
                back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def fake_proxy(refusal: int = 0) -> Iterator[FakeProxy]:
    """Serve a proxy."""
    proxy = FakeProxy(refusal=refusal)
    listener = socket.create_server(("127.0.0.1", 0))
    proxy.port = listener.getsockname()[1]

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=proxy.serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield proxy
    finally:
        # Closing only would leave the thread in `accept`.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
