"""The mirror's server: uvicorn in a thread."""

import socket
import threading
from pathlib import Path
from typing import Self

import uvicorn

from local_platform.errors import PlatformError
from local_platform.hub.app import create_app
from local_platform.hub.repository import Catalogue, ModelSnapshot

# How long responses under way may take to finish once the server closes: less than the 30 s after
# which Kubernetes kills.
_GRACE_SECONDS = 20


class HubServer:
    """Serves the models under a folder by the hub's protocol, read-only.

    A context manager: it listens from its construction, answers inside of the `with` block, and
    has closed after it. Entering it digests every file, which takes about a second a gigabyte.

    Args:
        root: Folder that holds models, at `NAME` or `NAMESPACE/NAME`.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        token: The bearer token that clients must send; None lets everyone in.

    Raises:
        PlatformError: The root is missing or holds no model, or the address cannot be listened on.
    """

    def __init__(
        self, root: Path, *, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> None:
        self._catalogue = Catalogue(root)
        try:
            self._listener = socket.create_server((host, port), backlog=128)
        except OSError as exc:
            raise PlatformError(
                f"cannot listen: {exc.strerror}; give another --host or --port"
            ) from exc
        self.url = f"http://{host}:{self._listener.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(self._catalogue, token),
                loop="asyncio",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, args=([self._listener],), name="hub", daemon=True
        )

    def snapshots(self) -> list[ModelSnapshot]:
        """Read every model as it is on disk now, by name.

        Raises:
            PlatformError: A model's files cannot be read.
        """
        return [self._catalogue.snapshot(repo_id) for repo_id in self._catalogue.repo_ids()]

    def __enter__(self) -> Self:
        try:
            # Before the first request, because a client waits ten seconds for a file's headers,
            # and a large model takes longer to digest.
            self.snapshots()
        except BaseException:
            self._listener.close()
            raise
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Accept no more connections, let responses under way finish, and close."""
        self._server.should_exit = True
        self._thread.join()
