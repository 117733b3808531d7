"""The rows that the schedule computes."""

from typing import Protocol

from ft_serving.core.arrays import FloatArray, TokenArray
from ft_serving.server.engine.rules import LogitsRules
from ft_serving.server.engine.sampling import Sampler
from ft_serving.server.requests.job import Row, TextRow
from ft_serving.server.requests.plan import RowPlan

# In sampling, penalties start where the text has two tokens: the first token after a prompt of one
# is not penalised (`step > 1` in FasterTransformer's `BaseSamplingLayer.cc`).
_PENALTY_FROM = 2


class ScheduledRow(Row, Protocol):
    """A row of the schedule.

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


class SampledRow(TextRow):
    """Implements `ScheduledRow` for one text that is drawn or chosen greedily; see `TextRow`."""

    def __init__(
        self, plan: RowPlan, texts: TokenArray, token_log_probs: FloatArray | None
    ) -> None:
        super().__init__(plan, texts, token_log_probs)
        self.prompt = plan.prompt
        self.tokens = [0]
        self.parents = [0]
        self._rules = LogitsRules(plan, _PENALTY_FROM)
        self._sampler = Sampler(plan.parameters, wants_log_probs=token_log_probs is not None)

    def advance(self, logits: FloatArray) -> None:
        """Choose the next token; see `ScheduledRow.advance`."""
        sampler = self._sampler
        self._rules.apply(logits[0], self._text[: self._length], self.lengths[0])
        token = sampler.choose(logits[0])
        self.tokens = [token]
        self.append(token, sampler.log_prob, sampler.output_log_prob)
