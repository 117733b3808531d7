"""The errors of this room: its base, those that somebody catches, and the refusal of a file."""

from collections.abc import Sequence
from pathlib import Path

from ft_serving.core.errors import FtServingError, ReleaseError
from ft_serving.core.units import cut

DOWNLOAD_AGAIN = "Download it again; if it stays so, the published file is damaged."

_LONGEST = 300  # a hostile file's names can have megabytes


class WeightsError(FtServingError):
    """A checkpoint cannot become a release; the message says why."""


class CheckpointError(WeightsError):
    """A checkpoint's file is damaged, hostile, or in a format that is not read here."""


class MisplacedError(ReleaseError):
    """A release is whole, but lies elsewhere than its config.pbtxt says."""


def refusal(file: Path | str, problems: Sequence[str], remedy: str) -> CheckpointError:
    """Return the error that refuses a file, with as many problems as a reader will look at.

    Args:
        file: Its path, or its name in a repository.
        problems: What is wrong, one sentence's part each; at least one.
        remedy: What to do, a sentence.
    """
    shown = "; ".join(problem[:_LONGEST] for problem in cut(problems))
    return CheckpointError(f"{file}: {shown}. {remedy}")
