"""A long-running child process whose lines are read as they come."""

import os
import queue
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_SECONDS_TO_END = 10


def run_reading(
    command: Sequence[str | Path],
    *,
    folder: Path,
    environment: Mapping[str, str],
    on_line: Callable[[str], None],
    on_wait: Callable[[], None],
) -> int:
    """Run a command and pass on each line that it writes to stdout or stderr.

    Args:
        command: Program and arguments.
        folder: The folder that it runs in.
        environment: All of its environment.
        on_line: Takes a line, without its end.
        on_wait: Called about once a second, whether there are lines or not.

    Returns:
        The exit status. When an exception ends the wait, the child's process
        group is ended, too.
    """
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as child:

        def read() -> None:
            for line in child.stdout or ():
                lines.put(line.rstrip("\n"))
            lines.put(None)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        try:
            while True:
                try:
                    line = lines.get(timeout=1)
                except queue.Empty:
                    on_wait()
                    continue
                if line is None:
                    break
                on_line(line)
                on_wait()
            return child.wait()
        except BaseException:
            # Compilers end at once, and Go then deletes its temporary files.
            os.killpg(child.pid, signal.SIGINT)
            try:
                child.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
            raise
        finally:
            reader.join()
