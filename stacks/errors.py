"""The error of a wrong configuration: all of its problems at once."""

import re
from dataclasses import dataclass

from ft_serving.core.errors import FtServingError
from ft_serving.core.units import any_of

__all__ = ["ConfigError", "Problem", "any_of", "shown"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that cannot stay as it is, in the order in which the message names its parts.

    Attributes:
        path: The setting, with dots, as `pulumi config set --path` names it.
        rule: The rule that it breaks.
        got: The value that was given.
        use: A value that is accepted.
    """

    path: str
    rule: str
    got: str
    use: str

    def __str__(self) -> str:
        return f"{self.path}: {self.rule}; got {self.got}; use {self.use}"


class ConfigError(FtServingError):
    """The configuration cannot be deployed.

    Attributes:
        problems: All that were found.
    """

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, problems)))


def shown(value: object) -> str:
    """Return a value as an error shows it: short, and on one line."""
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    # Errors end up in logs; an address may carry a password.
    text = re.sub(r"//[^/@\s]*@", "//***@", text)
    return text if len(text) <= 80 else f"{text[:77]}..."
