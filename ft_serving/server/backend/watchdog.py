"""Ends the server when the process that runs the model dies.

Triton stays up then, says that it is ready, and answers every request with an error, for good
(seen with 2.51). Who watches it from outside, a container's runtime or a person, should see it
end, and start it again. At once, too: nothing under way can be answered any more, while Triton's
own end waits half a minute for clients to close their connections. A container with too little
memory is the usual case: the system kills its largest process, which is the one with the weights.
"""

import os
import subprocess

_LAST_WORDS = "error: the process that ran the model was killed; does it need more memory?"

# The pipe ends without a line when every process that could have written one is gone. There is
# nothing to say where the server went first.
_WATCH = 'read -r line || { kill -KILL "$1" 2>/dev/null && echo "$2" >&2; }'


class Watchdog:
    """Watches this process, a child of the server."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "watchdog", str(os.getppid()), _LAST_WORDS],
            stdin=subprocess.PIPE,
            # What kills this process's group must not kill the watchdog.
            start_new_session=True,
        )

    def dismiss(self) -> None:
        """Stop watching: this process is going to end as it should."""
        self._process.communicate(b"\n")
