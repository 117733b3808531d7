"""Translates a row's parameters for vLLM, and vLLM's tokens for the row.

A parameter has FasterTransformer's meaning, or its request is refused; docs/engines.md has the
table for people.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ft_serving.core.parameters import RowParameters
from ft_serving.server.errors import RequestError
from ft_serving.server.requests.job import TextRow
from ft_serving.server.requests.plan import MOST_TOP_K, RequestPlan, RowPlan
from ft_serving.server.requests.words import Word

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.01, 2.0
"""vLLM computes with 0.01 where a temperature is less, and refuses one above 2."""

MOST_BAD_WORDS, MOST_BAD_TOKENS = 128, 1024
"""vLLM keeps so many bad words a row, of so many tokens together."""

_LARGEST_SEED = 2**63 - 1
"""A seed beyond it ends vLLM's engine, with all that it computes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """The parameters of a row's draws, in vLLM's terms.

    Attributes:
        max_tokens: Most tokens.
        min_tokens: Tokens before which `end_id` is forbidden.
        end_id: The only token that ends the text.
        temperature: 0 takes the likeliest token.
        top_k: 0 is no limit.
        top_p: Above 0; 1 is no limit.
        repetition_penalty: Factor against tokens of prompt and text; 1 is none.
        seed: Of the draws, below 2^63.
        bad_words: Token ids whose last one is forbidden behind the others.
        log_probs: Log probabilities to return of each step, beside the chosen token's: 0 or more;
            None for none at all.
    """

    max_tokens: int
    min_tokens: int
    end_id: int
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    seed: int
    bad_words: tuple[Word, ...]
    log_probs: int | None


def refuse_unsupported(plan: RequestPlan) -> None:
    """Raise `RequestError`, which names all that vLLM does not do as FasterTransformer does it."""
    if problems := dict.fromkeys(_problems(plan)):
        raise RequestError("; ".join(problems))


def sampling_of(row: RowPlan) -> Sampling:
    """Return vLLM's parameters for a row that `refuse_unsupported` lets pass."""
    asked = row.parameters
    top_k = min(asked["top_k"], MOST_TOP_K)
    top_p = min(max(asked["top_p"], 0.0), 1.0)
    greedy = is_greedy(asked)
    log_probs: int | None = None
    if asked["log_probs"]:
        # FasterTransformer's log probability of a token drawn from the top k is its share of them.
        log_probs = 0 if greedy else top_k
    return Sampling(
        max_tokens=asked["output_length"],
        min_tokens=min(asked["min_length"], asked["output_length"]),
        end_id=asked["end_id"],
        temperature=0.0 if greedy else asked["temperature"],
        top_k=top_k,
        top_p=top_p or 1.0,
        repetition_penalty=asked["repetition_penalty"],
        seed=asked["seed"] & _LARGEST_SEED,
        bad_words=_bad_words(row),
        log_probs=log_probs,
    )


def is_greedy(asked: RowParameters) -> bool:
    """Tell whether the likeliest token is taken, whatever the temperature."""
    top_k, top_p = asked["top_k"], asked["top_p"]
    return top_k == 1 or (top_k == 0 and top_p <= 0) or asked["temperature"] == 0


def _bad_words(row: RowPlan) -> tuple[Word, ...]:
    # FasterTransformer's check is `0 < token`: it never forbids token 0.
    return tuple(word for word in row.bad_words if word and word[-1] != 0)


def _problems(plan: RequestPlan) -> Iterator[str]:
    if plan.beam_width > 1:
        yield f"beam_width: this engine samples only (1); got {plan.beam_width}"
    for row in plan.rows:
        asked = row.parameters
        greedy, temperature, decay = is_greedy(asked), asked["temperature"], asked["top_p_decay"]
        if not greedy and not LEAST_TEMPERATURE <= temperature <= MOST_TEMPERATURE:
            yield (
                f"temperature: must be 0 or from {LEAST_TEMPERATURE} to {MOST_TEMPERATURE} with "
                f"this engine; got {temperature:g}"
            )
        if asked["presence_penalty"]:
            yield (
                "presence_penalty: this engine has none that counts the prompt's tokens; leave it "
                "out or send repetition_penalty"
            )
        if not greedy and asked["top_k"] == 0 and 0 < decay < 1:
            yield f"top_p_decay: this engine has none (1); got {decay:g}"
        bad = _bad_words(row)
        tokens = sum(map(len, bad))
        if len(bad) > MOST_BAD_WORDS or tokens > MOST_BAD_TOKENS:
            yield (
                f"bad_words_list: must be at most {MOST_BAD_WORDS} words of {MOST_BAD_TOKENS} "
                f"tokens together with this engine; got {len(bad)} of {tokens}"
            )
        if asked["log_probs"]:
            yield from _log_prob_problems(row)


def _log_prob_problems(row: RowPlan) -> Iterator[str]:
    """Yield a refusal where something changes the model's log probabilities: vLLM tells these."""
    asked = row.parameters
    changing = {
        "temperature": asked["temperature"] != 1,
        "repetition_penalty": asked["repetition_penalty"] != 1,
        "min_length": asked["min_length"] > 0,
        "bad_words_list": bool(_bad_words(row)),
    }
    names = [name for name, changes in changing.items() if changes]
    if names:
        yield (
            "is_return_log_probs: this engine has log probabilities of the unchanged model only; "
            f"send it without {', '.join(names)}"
        )


class VllmRow(TextRow):
    """Implements `ft_serving.server.requests.job.Row` for one sampled text; see `TextRow`."""

    def extend(
        self, tokens: Sequence[int], log_probs: Sequence[Mapping[int, float]] | None
    ) -> None:
        """Append tokens, up to the first that ends the text.

        Args:
            tokens: In their order.
            log_probs: For each of them, log probabilities by token: its own, and those of the
                likeliest; None if not wanted.
        """
        for place, token in enumerate(tokens):
            if self.finished:
                return
            if log_probs is None:
                self.append(token)
            else:
                self.append(token, *self._log_prob(token, log_probs[place]))

    def _log_prob(self, token: int, found: Mapping[int, float]) -> tuple[float, float]:
        """Return both of FasterTransformer's log probabilities of a token.

        The first is under the whole vocabulary; the second is its share of the top k where there
        is one, all of it where the likeliest token is taken, and else the first.
        """
        asked = self.plan.parameters
        log_prob = found[token]
        if is_greedy(asked):
            return log_prob, 0.0
        if not asked["top_k"]:
            return log_prob, log_prob
        likeliest = sorted(found.values(), reverse=True)[: min(asked["top_k"], MOST_TOP_K)]
        return log_prob, log_prob - math.log(math.fsum(map(math.exp, likeliest)))
