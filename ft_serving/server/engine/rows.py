"""The rows that the schedule computes: one text that is drawn, or the beams of a search."""

import math

import numpy as np
import numpy.typing as npt

from ft_serving.core.arrays import FloatArray, IndexArray, TokenArray
from ft_serving.server.engine.rules import LogitsRules
from ft_serving.server.engine.sampling import Sampler, largest, log_sum_exp
from ft_serving.server.requests.job import TextRow
from ft_serving.server.requests.plan import RowPlan
from ft_serving.server.requests.words import StopWords

ScoreArray = npt.NDArray[np.float64]

# FasterTransformer's `decodingInitialize` gives this to all beams but the first, so that they do
# not repeat it.
_NO_BEAM = -1e20

_NO_CANDIDATE = float(np.finfo(np.float32).min)

# In sampling, penalties start where the text has two tokens: the first token after a prompt of one
# is not penalised (`step > 1` in FasterTransformer's `BaseSamplingLayer.cc`).
_PENALTY_FROM = 2


class SampledRow(TextRow):
    """One text that is drawn or chosen greedily; see `TextRow`.

    Attributes:
        prompt: Tokens to start from.
        tokens: The newest token, as `BeamRow` has one a beam.
        parents: The beam that it continues, likewise.
    """

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
        """Choose the next token by logits [1, vocabulary], which are changed."""
        sampler = self._sampler
        self._rules.apply(logits[0], self._text[: self._length], self.lengths[0])
        token = sampler.choose(logits[0])
        self.tokens = [token]
        self.append(token, sampler.log_prob, sampler.output_log_prob)


class BeamRow:
    """Implements `Row` for one row of a beam search.

    As in FasterTransformer's `online_softmax_beamsearch_kernels.cu`: each beam offers its 2K best
    continuations, a finished one only itself; the K best of all go on, best first. A finished beam
    stays as long as it is among them, and the search ends when all K have finished: there is no
    early stop by score.

    `len_penalty` divides the scores of all candidates by the same length, the first beam's with
    the padded prompt: so says the kernel, which therefore changes no order by it unless there is
    a `beam_search_diversity_rate`, which is added behind.

    `output_log_probs` are those along each beam. FasterTransformer returns them by place in the
    beam, and shifted by the prompt's length.

    Args:
        plan: The row's parameters.
        text: [beams, prompt and output length], begin with the prompt; grow in place.
        token_log_probs: [beams, output length], filled in place; None if not wanted.

    Attributes:
        prompt: Tokens to start from.
        tokens: The newest token of each beam.
        parents: The beam that each of them continues.
    """

    def __init__(self, plan: RowPlan, text: TokenArray, token_log_probs: FloatArray | None) -> None:
        width = len(text)
        self.prompt = plan.prompt
        self.tokens = [0] * width
        self.parents = [0] * width
        self.lengths = [0] * width
        self.log_probs = [0.0] + [_NO_BEAM] * (width - 1)
        self.finished = False
        self._padded_length = plan.padded_length
        self._parameters = plan.parameters
        self._stop_words = StopWords(plan.stop_words)
        self._text = text
        self._token_log_probs = token_log_probs
        self._rules = LogitsRules(plan, penalty_from=1)
        self._ended = [False] * width
        self._generated = 0

    def advance(self, logits: FloatArray) -> None:
        """Choose the beams that go on.

        Args:
            logits: [beams, vocabulary], or [1, vocabulary] behind the prompt; may be changed.
        """
        width = len(self._text)
        behind_prompt = len(logits) == 1
        if behind_prompt:
            logits = np.repeat(logits, width, axis=0)
        values, tokens = self._candidates(logits)
        best = np.argsort(-self._scores(values), axis=None, kind="stable")[:width]
        self._continue(best // (2 * width), values.flat[best], tokens.flat[best])
        if behind_prompt:
            self.parents = [0] * width

    def _candidates(self, logits: FloatArray) -> tuple[ScoreArray, IndexArray]:
        """Return sums of log probabilities and tokens, both [beams, 2 · beams], best first."""
        width = len(self._text)
        length = len(self.prompt) + self._generated
        values = np.full((width, 2 * width), _NO_CANDIDATE)
        tokens = np.full((width, 2 * width), self._parameters["end_id"])
        for beam, row in enumerate(logits):
            if self._ended[beam]:
                values[beam, 0] = self.log_probs[beam]
                continue
            self._rules.apply(row, self._text[beam, :length], self._generated)
            total = log_sum_exp(row)
            if math.isfinite(total):
                places = largest(row, 2 * width)
                tokens[beam, : len(places)] = places
                values[beam, : len(places)] = row[places] - total + self.log_probs[beam]
        # A forbidden token's minus infinity would make differences of scores undefined.
        return np.maximum(values, _NO_CANDIDATE), tokens

    def _scores(self, values: ScoreArray) -> ScoreArray:
        """Return what candidates are ranked by, [beams, 2 · beams]."""
        parameters = self._parameters
        width = len(values)
        # Behind the prompt, FasterTransformer's sequence length is one less than its tokens.
        length = self._padded_length + self.lengths[0] - self._ended[0]
        ranks = np.arange(2 * width) % width
        # Absurd penalties make infinite scores, as they do there.
        with np.errstate(all="ignore"):
            divisor = np.float64(length) ** parameters["len_penalty"]
            rate = parameters["beam_search_diversity_rate"]
            scores: ScoreArray = values / divisor + rate * ranks
        return scores

    def _continue(self, parents: IndexArray, values: ScoreArray, tokens: IndexArray) -> None:
        """Let beams go on as the chosen candidates; all arguments are [beams]."""
        length = len(self.prompt) + self._generated
        self._text[:, :length] = self._text[parents, :length]
        self._text[:, length] = tokens
        if self._token_log_probs is not None:
            before = np.array(self.log_probs)[parents]
            self._token_log_probs[:] = self._token_log_probs[parents]
            self._token_log_probs[:, self._generated] = values - before
        self.tokens = tokens.tolist()
        self.parents = parents.tolist()
        self.log_probs = values.tolist()
        self.lengths = [self.lengths[beam] + (not self._ended[beam]) for beam in self.parents]
        stop_words, end_id = self._stop_words, self._parameters["end_id"]
        self._ended = [
            token == end_id or stop_words.end(text[: length + 1])
            for token, text in zip(self.tokens, self._text, strict=True)
        ]
        self._generated += 1
        self.finished = all(self._ended) or self._generated == self._parameters["output_length"]


ScheduledRow = SampledRow | BeamRow
"""A row of the schedule."""
