"""A row of a request while its text grows."""

from typing import Protocol

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.engine.rules import LogitsRules
from ft_serving.server.engine.sampling import Sampler
from ft_serving.server.requests.job import Row
from ft_serving.server.requests.plan import RowPlan
from ft_serving.server.requests.words import StopWords

# In sampling, penalties start where the text has two tokens: the first token after a prompt of one
# is not penalised (`step > 1` in FasterTransformer's `BaseSamplingLayer.cc`).
_PENALTY_FROM = 2


class ScheduledRow(Row, Protocol):
    """What the schedule needs of a row, beside what its request does.

    Attributes:
        prompt: Tokens to start from.
        tokens: The newest token of each of the row's beams.
        parents: The beam that each of them continues.
    """

    prompt: TokenArray
    tokens: list[int]
    parents: list[int]

    def advance(self, logits: FloatArray) -> None:
        """Choose the next token of each beam.

        Args:
            logits: [beams, vocabulary], or [1, vocabulary] behind the prompt; may be changed.
        """
        ...


class SampledRow:
    """Implements `ScheduledRow` for one text that is drawn or chosen greedily.

    Args:
        plan: The row's parameters.
        text: [1, prompt and output length], begins with the prompt; grows in place.
        token_log_probs: [1, output length], filled in place; None if not wanted.
    """

    def __init__(self, plan: RowPlan, text: TokenArray, token_log_probs: FloatArray | None) -> None:
        self.prompt = plan.prompt
        self.tokens = [0]
        self.parents = [0]
        self.lengths = [0]
        self.log_probs = [0.0]
        self.finished = False
        self._plan = plan
        self._stop_words = StopWords(plan.stop_words)
        self._text = text[0]
        self._token_log_probs = token_log_probs
        self._rules = LogitsRules(plan, _PENALTY_FROM)
        self._sampler = Sampler(plan.parameters, wants_log_probs=token_log_probs is not None)

    def advance(self, logits: FloatArray) -> None:
        """Choose the next token; see `ScheduledRow.advance`."""
        plan = self._plan
        generated = self.lengths[0]
        length = len(plan.prompt) + generated
        self._rules.apply(logits[0], self._text[:length], generated)
        token = self._sampler.choose(logits[0])
        self._text[length] = token
        self.tokens = [token]
        self.lengths = [generated + 1]
        if self._token_log_probs is not None:
            self.log_probs[0] += self._sampler.log_prob
            self._token_log_probs[0, generated] = self._sampler.output_log_prob
        self.finished = (
            token == plan.parameters["end_id"]
            or generated + 1 == plan.parameters["output_length"]
            or (bool(self._stop_words) and self._stop_words.end(self._text[: length + 1]))
        )
