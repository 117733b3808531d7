"""Connects the node's network with the machine's: slirp4netns with its port forwards.

It runs inside the node's pid and mount namespaces but in the machine's network namespace.
slirp4netns is a network stack in user space: the node gets addresses of its own and reaches what
the machine reaches, while the machine's interfaces, routes and firewall stay as they are.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from local_platform.settings import (
    API_PORT,
    HUB_PORT,
    INGRESS_PORT,
    NODE_ADDRESS,
    REGISTRY_PORT,
    RUNTIME,
)

FORWARDED = (API_PORT, REGISTRY_PORT, INGRESS_PORT, HUB_PORT)
"""Ports of the node that answer on the machine's 127.0.0.1."""

_API_SOCKET = RUNTIME / "slirp4netns.sock"


def main() -> int:
    """Run slirp4netns until it ends; return its exit status."""
    _API_SOCKET.unlink(missing_ok=True)
    # slirp4netns ends when this process, the other end of the pipe, does.
    read_end, write_end = os.pipe()
    process = subprocess.Popen(
        ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
         f"--exit-fd={read_end}", f"--api-socket={_API_SOCKET}",
         "--netns-type=path", "/proc/1/ns/net", "tap0"],
        pass_fds=[read_end],
    )  # fmt: skip
    os.close(read_end)
    try:
        _wait_for(_API_SOCKET)
        for port in FORWARDED:
            _forward(port)
        return process.wait()
    finally:
        os.close(write_end)
        process.wait()


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} did not appear")
        time.sleep(0.02)


def _forward(port: int) -> None:
    """Ask slirp4netns for one port; slirp4netns(1), 'API SOCKET', owns the format."""
    request = {
        "execute": "add_hostfwd",
        "arguments": {
            "proto": "tcp",
            "host_addr": "127.0.0.1",
            "host_port": port,
            "guest_addr": NODE_ADDRESS,
            "guest_port": port,
        },
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(_API_SOCKET))
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = json.loads(connection.makefile("rb").read())
    if "error" in answer:
        raise OSError(f"127.0.0.1:{port} cannot be forwarded: {answer['error'].get('desc')}")


if __name__ == "__main__":
    sys.exit(main())
