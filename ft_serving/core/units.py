"""Writes amounts, durations and choices for people."""

from collections.abc import Sequence


def format_bytes(count: float) -> str:
    """Return a number of bytes for people: `512 B`, `3.2 GiB`, `210 MiB`."""
    if count < 1024:
        return f"{count:.0f} B"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024
        # The limits are where rounding would print 100.0 and 1024.
        if count < 99.95:
            return f"{count:.1f} {unit}"
        if count < 1023.5 or unit == "TiB":
            break
    return f"{count:.0f} {unit}"


def format_duration(seconds: float) -> str:
    """Return a duration for people: `0.4 s`, `34 s`, `1 min 34 s`, `2 h 05 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def facts(done: int, total: int, rate: float) -> str:
    """Return how far work has come: bytes, percent, and by bytes a second the time left."""
    # Rounded down: 100% means that nothing is left.
    percent = 100 * done // total if total else 100
    words = f"{format_bytes(done)} of {format_bytes(total)}  {percent}%"
    if rate:
        words += f"  {format_bytes(rate)}/s"
        if done < total:
            words += f"  {format_duration((total - done) / rate)} left"
    return words


def cut(names: Sequence[str], most: int = 8) -> list[str]:
    """Return as many names as a reader will look at, and the number of the others."""
    rest = len(names) - most
    return [*names[:most], *([f"and {rest} more"] if rest > 0 else [])]


def any_of(choices: Sequence[object]) -> str:
    """Return alternatives as a sentence names them: `1, 2 or 4`."""
    words = [str(choice) for choice in choices]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
