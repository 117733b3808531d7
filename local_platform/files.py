"""Small files that are whole at every moment."""

from pathlib import Path


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file beside its place and put it there: a reader, or a run cut short, finds no half.

    Args:
        path: Its place; missing folders are made.
        content: All of it.
        mode: Its permissions, which it has before it has any content.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}")
    new.touch()
    new.chmod(mode)
    new.write_bytes(content)
    new.rename(path)
