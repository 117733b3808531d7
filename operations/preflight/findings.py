"""What a check comes to."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Whether a deployment would fail, or may."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """Something that the cluster lacks.

    Attributes:
        severity: Whether the deployment would fail of it.
        what: The part of the cluster.
        found: How it is.
        needed: How it has to be, and for what.
        remedy: What to do, with a command where there is one.
    """

    severity: Severity
    what: str
    found: str
    needed: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: found {self.found}; needed {self.needed}. {self.remedy}"


def error(what: str, *, found: str, needed: str, remedy: str) -> Finding:
    """What a deployment would fail of."""
    return Finding(severity=Severity.ERROR, what=what, found=found, needed=needed, remedy=remedy)


def warning(what: str, *, found: str, needed: str, remedy: str) -> Finding:
    """What a deployment may fail of, or only later."""
    return Finding(severity=Severity.WARNING, what=what, found=found, needed=needed, remedy=remedy)
