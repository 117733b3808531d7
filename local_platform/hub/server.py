"""The mirror's server: a listening socket, and a thread for every connection."""

import contextlib
import logging
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from local_platform.errors import PlatformError
from local_platform.hub.connection import HubConnection
from local_platform.hub.repository import Catalogue, ModelSnapshot
from local_platform.hub.service import HubService

# More than snapshot_download's eight threads on each of a few machines. Further clients wait in
# the listen queue until a connection ends or has idled out.
_MAX_CONNECTIONS = 256
_LISTEN_QUEUE = 128

# How long responses under way may take to finish once the server closes; below the 30 s after
# which Kubernetes kills.
_GRACE_SECONDS = 20.0

# How long to wait when the process may open no further file or start no further thread.
_EXHAUSTED_SECONDS = 0.1

_logger = logging.getLogger(__name__)


class HubServer:
    """Serves the models under a folder by the hub's protocol, read-only.

    A context manager: it listens from its construction, answers inside of the `with` block, and
    has closed after it. Entering it digests every file, which takes about a second a gigabyte.

    Args:
        root: folder that holds models, at `NAME` or `NAMESPACE/NAME`.
        host: address to listen on.
        port: port to listen on; 0 takes a free one.
        token: what clients must send as a bearer token; None lets everyone in.

    Raises:
        PlatformError: the root is missing or holds no model, or the address cannot be listened on.
    """

    def __init__(
        self, root: Path, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> None:
        self._catalogue = Catalogue(root)
        self._service = HubService(catalogue=self._catalogue, token=token)
        self._slots = threading.Semaphore(_MAX_CONNECTIONS)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._acceptor = threading.Thread(target=self._accept, name="hub-accept", daemon=True)
        try:
            self._listener = socket.create_server((host, port), backlog=_LISTEN_QUEUE)
        except OSError as exc:
            raise PlatformError(
                f"cannot listen: {exc.strerror}; give another --host or --port"
            ) from exc
        self._port: int = self._listener.getsockname()[1]
        self._host = host

    @property
    def url(self) -> str:
        """The server's address, as HF_ENDPOINT wants it."""
        return f"http://{self._host}:{self._port}"

    def snapshots(self) -> list[ModelSnapshot]:
        """Every model as it is on disk now, by name.

        Raises:
            RefusedRequestError: a model's files change or cannot be read.
        """
        return [self._catalogue.snapshot(repo_id) for repo_id in self._catalogue.repo_ids()]

    def __enter__(self) -> Self:
        try:
            # Before the first request: a client waits ten seconds for a file's headers, and a
            # large model takes longer to digest.
            self.snapshots()
        except BaseException:
            self._listener.close()
            raise
        self._acceptor.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Accept no more connections, let responses under way finish, and close."""
        deadline = time.monotonic() + _GRACE_SECONDS
        self._stopping.set()
        self._slots.release()  # the acceptor may wait for room
        _shutdown(self._listener, socket.SHUT_RDWR)
        self._acceptor.join()
        self._listener.close()
        with self._lock:
            connections = dict(self._open)
        for client in connections:
            # An idle connection ends at once; one that sends finishes its response first.
            _shutdown(client, socket.SHUT_RD)
        for thread in connections.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        for client in connections:
            _shutdown(client, socket.SHUT_RDWR)

    def _accept(self) -> None:
        while self._slots.acquire() and not self._stopping.is_set():
            try:
                client, _ = self._listener.accept()
                self._start(client)
            except (OSError, RuntimeError) as exc:
                self._slots.release()
                if not self._stopping.is_set():
                    _logger.warning("a connection was not accepted: %s", exc)
                    time.sleep(_EXHAUSTED_SECONDS)

    def _start(self, client: socket.socket) -> None:
        thread = threading.Thread(
            target=self._serve, args=(client,), name="hub-connection", daemon=True
        )
        with self._lock:
            self._open[client] = thread
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                del self._open[client]
            client.close()
            raise

    def _serve(self, client: socket.socket) -> None:
        try:
            HubConnection(client, self._service).serve()
        except Exception:
            # What no rule covers ends this connection and no other.
            _logger.exception("a connection ended by an unexpected error")
        finally:
            with self._lock:
                del self._open[client]
            client.close()
            self._slots.release()


def _shutdown(connection: socket.socket, how: int) -> None:
    # It may have ended by itself.
    with contextlib.suppress(OSError):
        connection.shutdown(how)
