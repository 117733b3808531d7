"""What an answer has to be."""

from collections.abc import Sequence
from dataclasses import dataclass

from ft_serving.gate.errors import WrongAnswerError


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """The golden answer; or, where a model has none, words that chance would not bring.

    Attributes:
        text: The whole text behind the prompt; None where only words are known.
        words: What the text has to contain, in any order; upper and lower case are the same.
    """

    text: str | None = None
    words: Sequence[str] = ()

    def check(self, prompt: str, answer: str) -> None:
        """Compare an answer.

        Args:
            prompt: What was asked.
            answer: The text that was generated behind it.

        Raises:
            WrongAnswerError: It is another one.
        """
        if self.text is not None and answer != self.text:
            raise WrongAnswerError(_wrong(prompt, repr(self.text), answer))
        missing = [word for word in self.words if word.casefold() not in answer.casefold()]
        if missing:
            wanted = f"a text with {', '.join(map(repr, self.words))}"
            lacking = f"; it lacks {', '.join(map(repr, missing))}"
            raise WrongAnswerError(_wrong(prompt, wanted, answer, lacking))


def _wrong(prompt: str, expected: str, answer: str, more: str = "") -> str:
    return (
        f"The service is ready and gives a wrong answer{more}.\n"
        f"Asked:    {prompt!r}\nExpected: {expected}\nGot:      {answer!r}\n"
        "Are the weights those of this model, whole, and converted for this server? An FP16 server "
        "may also differ from an FP32 answer in its last words"
    )
