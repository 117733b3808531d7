"""What a client gives back."""

from dataclasses import dataclass

from ft_serving.client.answer import Completion, Finish


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """A prompt and what was generated behind it.

    Attributes:
        prompt: The prompt.
        prompt_ids: Its tokens.
        texts: The generated text of each beam, best first; without the prompt.
        completions: The tokens behind each of these texts.
    """

    prompt: str
    prompt_ids: tuple[int, ...]
    texts: tuple[str, ...]
    completions: tuple[Completion, ...]

    @property
    def text(self) -> str:
        """The best text, without the prompt."""
        return self.texts[0]

    @property
    def output_ids(self) -> tuple[int, ...]:
        """The best text's tokens, the one that ended it included."""
        return self.completions[0].output_ids

    @property
    def finish(self) -> Finish:
        """Why the best text ended."""
        return self.completions[0].finish


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of a text that is being generated.

    Attributes:
        text: What came to the text; may be empty while a character is incomplete.
        output_ids: The tokens that came.
        generation: The whole, in the last chunk, which has no tokens; None before.
    """

    text: str
    output_ids: tuple[int, ...]
    generation: Generation | None = None
