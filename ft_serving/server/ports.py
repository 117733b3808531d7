"""The ports that a server listens on."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass, fields

from ft_serving.server.errors import ServerError

ADDRESS = "127.0.0.1"
"""Nobody but this machine is served: Triton asks nobody who they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """A port for each of Triton's services."""

    http: int
    grpc: int
    metrics: int

    def check(self) -> None:
        """Look whether all of them are free.

        Raises:
            ServerError: They are not; each that is not is named.
        """
        problems = []
        with ExitStack() as held:
            for field in fields(self):
                port = getattr(self, field.name)
                listener = held.enter_context(socket.socket())
                # As Triton does it: a port that has just been closed may be listened on again.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind((ADDRESS, port))
                    listener.listen()
                except OSError as exc:
                    option = f"--{field.name}-port"
                    problems.append(f"{port}: {exc.strerror}; name another with {option}")
        if problems:
            raise ServerError("\n  ".join(["cannot listen on a port:", *problems]))
