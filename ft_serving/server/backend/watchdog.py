"""Ends the server when the process that runs the model dies.

Triton would stay up, say that it is ready, and answer every request with an error for ever (seen
with 2.51). A container's runtime, or the person who started it, starts a server again that ends.
It is killed, because nothing under way can be answered any more, and Triton's own end waits half a
minute for clients to close their connections. The usual cause is a container with too little
memory: the system kills its largest process, which is the one with the weights.
"""

import os
import subprocess

_LAST_WORDS = "error: the process that ran the model was killed; does it need more memory?"

# The pipe ends without a line when every process that could have written one is gone. If the server
# has ended before, nobody needs the message.
_WATCH = 'read -r line || { kill -KILL "$1" 2>/dev/null && echo "$2" >&2; }'


class Watchdog:
    """Watches this process, a child of the server."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "watchdog", str(os.getppid()), _LAST_WORDS],
            stdin=subprocess.PIPE,
            # A signal to this process's group must not kill the watchdog.
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Stop watching: this process is going to end as it should."""
        self._process.communicate(b"\n")
