"""The message that Kubernetes keeps of a container that ended."""

from pathlib import Path

LIMIT = 4096
"""Bytes that Kubernetes keeps of one container's message."""

_CUT = "\n… (the log has the rest)"


def write_termination_message(file: Path, message: str) -> None:
    """Leave a message where Kubernetes reads it; outside of a container there is no such file.

    Args:
        file: The container's `terminationMessagePath`.
        message: Cut where it is too long: what comes first matters most.
    """
    if not file.exists():
        return
    # Paths may hold bytes that are no text.
    content = message.encode(errors="backslashreplace")
    if len(content) > LIMIT:
        room = LIMIT - len(_CUT.encode())
        content = content[:room].decode(errors="ignore").encode() + _CUT.encode()
    file.write_bytes(content)
