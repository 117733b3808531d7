#!/usr/bin/env python3
"""Runs a program as a child, hands signals on to it, and ends with its exit code.

    as_child.py PROGRAM ARGUMENT...

Triton handles SIGTERM only once its models are loaded. Before that the signal's default ends any
process but a container's first, for which the kernel drops it: a pod that is deleted while it loads
12 GB would go on until its grace period ends. So Triton must not be the first process.

In arguments, {unknown} becomes a random value, another one at each start: Triton opens a restricted
API only to clients that send the value as a header. It ends in a line break, which no header has.
"""

import os
import signal
import sys

HANDED_ON = {signal.SIGTERM, signal.SIGINT}
UNKNOWN = "{unknown}"


def main(program: str, *arguments: str) -> int:
    """Return the exit code, for a signal 128 and its number, as shells do."""
    # Blocked and then waited for: a signal that comes at any moment is kept.
    signals = {signal.SIGCHLD, *HANDED_ON}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    value = f"{os.urandom(16).hex()}\n"
    command = [program, *(argument.replace(UNKNOWN, value) for argument in arguments)]
    child = os.posix_spawn(program, command, os.environ, setsigmask=(), setsigdef=HANDED_ON)
    while True:
        number = signal.sigwait(signals)
        if number in HANDED_ON:
            os.kill(child, number)
            continue
        # One SIGCHLD may stand for several processes; orphans become children of the first one.
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
