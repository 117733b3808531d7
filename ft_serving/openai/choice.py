"""A text of an answer as it grows."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from tokenizers import Tokenizer

from ft_serving.client.answer import Finish
from ft_serving.client.text import TextStream
from ft_serving.openai.metrics import Watch
from ft_serving.openai.upstream import Piece, TextRequest, Upstream


class Choice:
    """A text as it grows.

    Args:
        index: Its place among the request's texts.
        prompt: The prompt's text, where the request says `echo`.
        request: What the model is asked.
        stop: The request's stop sequences.
        tokenizer: The model's.

    Attributes:
        finish_reason: The reason why it ended: `stop` or `length`; None while it grows.
        text: What was given of it.
        token_ids: The tokens so far.
        log_probs: Their log probabilities, if asked for.
        told: Tokens whose log probabilities a part of a stream has told.
    """

    def __init__(
        self,
        index: int,
        prompt: str,
        request: TextRequest,
        stop: Sequence[str],
        tokenizer: Tokenizer,
    ) -> None:
        self.index = index
        self.prompt = prompt
        self.request = request
        self.finish_reason: str | None = None
        self.text = ""
        self.token_ids: list[int] = []
        self.log_probs: list[float] = []
        self.told = 0
        self._pieces = TextStream(tokenizer)
        self._stop = StopSequences(stop)

    async def grow(
        self, upstream: Upstream, watch: Watch
    ) -> AsyncGenerator[tuple["Choice", str], None]:
        """Generate it; yield itself and each text that comes to it, or that no more will."""
        async with aclosing(upstream.stream(self.request)) as pieces:
            async for piece in pieces:
                text = self._take(piece)
                watch.tokens(self.index, len(piece.ids))
                if text or self.finish_reason or self.log_probs:
                    yield self, text
                if self.finish_reason:
                    watch.text_end(self.index, len(self.token_ids))
                    return

    def _take(self, piece: Piece) -> str:
        """Add a piece; return the text that it completes."""
        self.token_ids += piece.ids
        self.log_probs += piece.log_probs
        whole = piece.whole
        readable = piece.ids
        if whole:
            readable = readable[: len(readable) + len(whole.text_ids) - len(whole.output_ids)]
        text = self._pieces.add(readable)
        if whole:
            text += self._pieces.end()
        text, stopped = self._stop.add(text)
        if stopped:
            self.finish_reason = "stop"
        elif whole:
            text += self._stop.end()
            self.finish_reason = "length" if whole.finish is Finish.LENGTH else "stop"
        self.text += text
        return text


class StopSequences:
    """Cuts a growing text before the first of some words.

    What may be the beginning of a word is held back until more has come.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._held = ""

    def add(self, text: str) -> tuple[str, bool]:
        """Return what can be given of the text so far, and whether a word ended it."""
        if not self._words:
            return text, False
        self._held += text
        found = [at for word in self._words if (at := self._held.find(word)) >= 0]
        if found:
            return self._held[: min(found)], True
        kept = max(map(self._overlap, self._words))
        cut = len(self._held) - kept
        given, self._held = self._held[:cut], self._held[cut:]
        return given, False

    def end(self) -> str:
        """Return what was held back."""
        return self._held

    def _overlap(self, word: str) -> int:
        """Return how many characters at the text's end are a beginning of the word."""
        longest = min(len(word) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(word[:n])), 0)
