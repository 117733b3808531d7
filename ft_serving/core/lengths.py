"""Holds the most tokens of a served model's prompts and answers.

config.pbtxt states these limits, the engine for CPUs applies them, and the client tells them before
it sends anything. NVIDIA's backend ignores the parameters and computes
whatever it gets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, kw_only=True, slots=True)
class LengthLimits:
    """The most tokens of a row of a request; each None where nothing is said.

    Attributes:
        context_length: Prompt and answer together: the positions that the model was trained on,
            by its config.json.
        input_length: The prompt: what the server's memory is sized for (`serving.inputLength`).
        output_length: The answer (`serving.outputLength`).
    """

    context_length: int | None = None
    input_length: int | None = None
    output_length: int | None = None

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """Return the limits in the parameters of a config.pbtxt; a missing one is no limit.

        Raises:
            ValueError: One is no whole number of at least 1; all of them are named.
        """
        given = {
            field.name: parameters[field.name] for field in fields(cls) if field.name in parameters
        }
        problems = [
            f"parameter {name}: must be a whole number of at least 1, got {text!r}"
            for name, text in given.items()
            if not (text.isdecimal() and int(text))
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return cls(**{name: int(text) for name, text in given.items()})

    def to_parameters(self) -> dict[str, str]:
        """Return the limits as parameters of a config.pbtxt."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: str(value) for name, value in values.items() if value is not None}

    @property
    def fit_context(self) -> bool:
        """True if the longest prompt and the longest answer have room in the context together."""
        # One token, where the other length is not limited.
        return self._has_room(self.input_length or 1, self.output_length or 1)

    def prompt_problem(self, prompt: int) -> str | None:
        """Return why a prompt of so many tokens leaves no room for an answer, or None."""
        if self.input_length is not None and prompt > self.input_length:
            return (
                f"a prompt of {prompt} tokens is longer than the {self.input_length} that this "
                "service takes (serving.inputLength)"
            )
        if not self._has_room(prompt, 1):
            return (
                f"a prompt of {prompt} tokens leaves no room for an answer in the "
                f"{self.context_length} that the model can see (its context)"
            )
        return None

    def problem(self, prompt: int, output: int) -> str | None:
        """Return why a prompt and an answer of so many tokens are too long, or None."""
        if too_long := self.prompt_problem(prompt):
            return too_long
        if self.output_length is not None and output > self.output_length:
            return (
                f"an answer of {output} tokens is longer than the {self.output_length} that this "
                "service gives (serving.outputLength)"
            )
        if not self._has_room(prompt, output):
            return (
                f"a prompt of {prompt} tokens and an answer of {output} are longer than the "
                f"{self.context_length} that the model can see (its context)"
            )
        return None

    def _has_room(self, prompt: int, output: int) -> bool:
        return self.context_length is None or prompt + output <= self.context_length
