"""Reads generated tokens out of FasterTransformer's output tensors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ft_serving.client.errors import ClientError

Answer = Mapping[str, npt.NDArray[Any]]
"""The output tensors of a response, by name."""


class Finish(StrEnum):
    """The reason why a text ended."""

    END = "end"
    """The model ended it."""

    STOP = "stop"
    """A stop word was generated."""

    LENGTH = "length"
    """It has as many tokens as were asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """The tokens that one beam generated behind one prompt.

    Attributes:
        output_ids: The generated tokens, including the one that ended the text.
        finish: Why the text ended.
        ended: Whether it did; a stream's text has not while it grows.
        cum_log_prob: Sum of the tokens' log probabilities, if asked for.
        log_probs: Log probability of each token, if asked for. In top-k sampling it is that of the
            token among the top k, so that all are 0.0 where the likeliest token is taken.
    """

    output_ids: tuple[int, ...]
    finish: Finish
    ended: bool
    cum_log_prob: float | None = None
    log_probs: tuple[float, ...] | None = None

    @property
    def text_ids(self) -> tuple[int, ...]:
        """The generated tokens without the one with which the model ended the text."""
        ends = self.ended and self.finish is Finish.END
        return self.output_ids[:-1] if ends else self.output_ids

    def without(self, end_id: int | None) -> Self:
        """Return the same text without its end token, if it has one."""
        if self.output_ids[-1:] != (end_id,):
            return self
        return replace(
            self,
            output_ids=self.output_ids[:-1],
            ended=False,
            log_probs=self.log_probs and self.log_probs[:-1],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """A prompt and the texts generated behind it.

    Attributes:
        prompt: The prompt.
        prompt_ids: Its tokens.
        texts: The generated text of each beam, best first; without the prompt.
        completions: The tokens of each of these texts.
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
        """The best text's tokens, including the one that ended it."""
        return self.completions[0].output_ids

    @property
    def finish(self) -> Finish:
        """The reason why the best text ended."""
        return self.completions[0].finish


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """A piece of a text that is being generated.

    Attributes:
        text: The new text; may be empty while a character is incomplete.
        output_ids: The new tokens.
        generation: The whole, in the last chunk, which has no tokens; None before.
    """

    text: str
    output_ids: tuple[int, ...]
    generation: Generation | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ending:
    """The ways in which a text can end: most tokens, its end token if known, and stop words."""

    output_length: int
    end_id: int | None
    stop_words: Sequence[Sequence[int]]

    def of(self, tokens: Sequence[int]) -> Finish:
        """Return why a text of these generated tokens ended."""
        if tokens and tokens[-1] == self.end_id:
            return Finish.END
        if any(list(tokens[-len(word) :]) == list(word) for word in self.stop_words):
            return Finish.STOP
        return Finish.LENGTH if len(tokens) >= self.output_length else Finish.END


def completions(
    answer: Answer, prompt_lengths: Sequence[int], ending: Ending
) -> list[tuple[Completion, ...]]:
    """Return the generated tokens of a response: for each prompt its beams, best first.

    Args:
        answer: The tensors of a response for B prompts and K beams, best first.
            `output_ids` [B, K, S + N]: a prompt without padding, then the generated tokens, filled
            up with the token that ends a text. S is the longest prompt's length, N the most tokens
            to generate. `sequence_length` [B, K]: S plus the generated tokens. If asked for,
            `cum_log_probs` [B, K] and `output_log_probs` [B, K, N]. Where Triton has merged
            requests for NVIDIA's backend, S and N are those of all of them, and lengths are too
            large by what this request's own prompts lack.
        prompt_lengths: The prompts' numbers of tokens.
        ending: The ways in which the texts can end.

    Raises:
        ClientError: Tensors are missing, do not fit together, or are for other prompts.
    """
    shapes = {name: tensor.shape for name, tensor in answer.items()}
    ids = shapes.get("output_ids", ())
    beams = ids[:2]
    if (
        len(ids) != 3
        or shapes.get("sequence_length") != beams
        or shapes.get("cum_log_probs", beams) != beams
        or shapes.get("output_log_probs", ids)[:2] != beams
    ):
        raise ClientError(
            f"The server's answer is not FasterTransformer's: it has the tensors {shapes}"
        )
    padded = max(prompt_lengths)
    counts = answer["sequence_length"].astype(np.int64) - padded
    if ids[0] != len(prompt_lengths) or counts.min() < 0 or counts.max() > ids[2] - padded:
        raise ClientError(
            f"The server's answer has {ids[0]} prompts, {ids[2]} tokens each, and lengths "
            f"{answer['sequence_length'].tolist()}; asked were {len(prompt_lengths)} prompts of at "
            f"most {padded} tokens"
        )
    cumulated, each = answer.get("cum_log_probs"), answer.get("output_log_probs")
    return [
        tuple(
            completion(
                answer["output_ids"][row, beam][length:].tolist(),
                int(counts[row, beam]),
                ending,
                cum_log_prob=None if cumulated is None else float(cumulated[row, beam]),
                log_probs=None if each is None else each[row, beam].tolist(),
            )
            for beam in range(ids[1])
        )
        for row, length in enumerate(prompt_lengths)
    ]


def completion(
    row: Sequence[int],
    count: int,
    ending: Ending,
    *,
    cum_log_prob: float | None = None,
    log_probs: Sequence[float] | None = None,
) -> Completion:
    """Return the generated tokens of one beam.

    Args:
        row: The tokens behind the prompt, filled up with the token that ends a text.
        count: The generated ones among them, or more where Triton has merged requests.
        ending: The ways in which the text can end.
        cum_log_prob: The sum of the tokens' log probabilities.
        log_probs: The log probability of each token; behind the last there is garbage.
    """
    ids = row[: min(count, ending.output_length)]
    if ending.end_id in ids:
        ids = ids[: ids.index(ending.end_id) + 1]
    finish = ending.of(ids)
    # The server fills a row with its end token, which the tokenizer may not know.
    ended = finish is not Finish.END or ids[-1:] in ([ending.end_id], row[len(ids) :][:1])
    return Completion(
        output_ids=tuple(ids),
        finish=finish,
        ended=ended,
        cum_log_prob=cum_log_prob,
        log_probs=None if log_probs is None else tuple(log_probs[: len(ids)]),
    )
