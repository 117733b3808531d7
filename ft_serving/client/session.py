"""Asks one model for tokens, and asks again where its server went away."""

from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from ft_serving.client.answer import Answer, Completion, Ending, completions
from ft_serving.client.errors import (
    ClientError,
    GatewayTimeoutError,
    InvalidRequestError,
    SlowError,
    UnavailableError,
)
from ft_serving.client.model import ModelDescription
from ft_serving.client.patience import wait_until_ready
from ft_serving.client.tensors import Array, Tokens, check_prompts, encode
from ft_serving.client.transport import Transport
from ft_serving.core.parameters import Parameters

MOST_TIMES = 6
"""The most times that one request is sent, because the request may be what ends the server."""

NO_ANSWER = "The server ended the stream without an answer; see its log"
CUT_SHORT = (
    "The server ended the stream before its text had ended; ask again. Its log, or that "
    "of a gateway before it, may say why"
)
GATEWAY_REMEDY = (
    "The text takes longer than a gateway before the model allows; ask for fewer tokens, or raise "
    "the gateway's timeout"
)
OTHER_TEXT = "The stream broke off, and the server now answers with another text; ask again"

Words = Mapping[str, Sequence[Tokens]]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """A request's tensors, and the facts needed to read its answer."""

    inputs: Mapping[str, Array]
    prompt_lengths: tuple[int, ...]
    ending: Ending

    def completions(self, answer: Answer) -> list[tuple[Completion, ...]]:
        return completions(answer, self.prompt_lengths, self.ending)


class Session:
    """A model behind a transport, which the session waits for where that helps.

    A request that finds a server gone that was there before, or loses it, is repeated when the
    server is back: an answer depends on its request only, so that asking again changes nothing.
    A stream goes on behind the tokens that it has given, also where it ends before its text does.
    """

    def __init__(
        self,
        transport: Transport,
        check: Callable[[ModelDescription], None],
        wait_s: float,
        say: Callable[[str], None],
    ) -> None:
        """Ask nothing yet; for `wait_s` and `say` see `wait_until_ready`.

        `check` is given the model before anything is sent to it, and may raise a ClientError.
        """
        self._transport = transport
        self._check = check
        self._wait_s = wait_s
        self._say = say
        self._model: ModelDescription | None = None
        self.close = transport.close

    def model(self) -> ModelDescription:
        """Return the model, once it is ready."""
        if self._model is None:
            self._model = wait_until_ready(self._transport.describe, self._wait_s, self._say)
        return self._model

    def complete(
        self, prompts: Sequence[Tokens], parameters: Parameters, words: Words, end_id: int | None
    ) -> list[tuple[Completion, ...]]:
        """Ask for all prompts at once, and return for each its beams, best first.

        Args:
            prompts: Token ids.
            parameters: Checked ones.
            words: The token ids of the words of `stop` and of `bad`, by these names.
            end_id: The token that ends a text where neither request nor server says so.
        """
        check_prompts(prompts)
        decoupled = self.model().decoupled
        batches = [prompts]
        # A decoupled model answers by streams only; a stream's last response has everything.
        if decoupled and not self._transport.streams_batches:
            batches = [[prompt] for prompt in prompts]
        requests = [self._request(batch, parameters, words, end_id) for batch in batches]
        ask = self._last if decoupled else self._whole
        return [row for it in requests for row in self._persistently(partial(ask, it))]

    def stream(
        self, prompt: Tokens, parameters: Parameters, words: Words, end_id: int | None
    ) -> Generator[Completion, None, None]:
        """Ask for one prompt's completion as it grows; each has all tokens so far.

        Closing the generator cancels the request. For the arguments see `complete`.
        """
        if parameters.get("beam_width", 1) != 1:
            raise InvalidRequestError(
                "beam_width: a stream has one beam, since beams change what they have; got "
                f"{parameters['beam_width']}"
            )
        check_prompts([prompt])
        request = self._request([prompt], parameters, words, end_id)
        given: Completion | None = None
        while True:
            first, rest = self._persistently(partial(self._begin, request, given))
            with closing(rest):
                if first is None:
                    raise ClientError(NO_ANSWER if given is None else CUT_SHORT)
                given = first
                yield given
                try:
                    for grown in rest:
                        if len(grown.output_ids) > len(given.output_ids):
                            given = grown
                            yield given
                except UnavailableError:
                    if not (given.ended or self._wait_s):
                        raise
            if given.ended:
                return
            if not self._wait_s:
                raise ClientError(CUT_SHORT)

    def _request(
        self, prompts: Sequence[Tokens], parameters: Parameters, words: Words, end_id: int | None
    ) -> _Request:
        model = self.model()
        self._check(model)
        ends = (parameters.get("end_id"), model.end_id, end_id)
        return _Request(
            inputs=encode(model, prompts, parameters, words),
            prompt_lengths=tuple(map(len, prompts)),
            ending=Ending(
                output_length=parameters.get("output_length", model.default_output_length),
                end_id=next((token for token in ends if token is not None), None),
                stop_words=words["stop"],
            ),
        )

    def _begin(
        self, request: _Request, given: Completion | None
    ) -> tuple[Completion | None, Generator[Completion, None, None]]:
        """Open a stream; return its first text that is longer than `given`, and the rest.

        Raises:
            ClientError: It is another text than `given`.
        """
        had = given.output_ids if given else ()
        grows = self._growing(request)
        for grown in grows:
            if len(grown.output_ids) <= len(had):
                continue
            if grown.output_ids[: len(had)] != had:
                raise ClientError(OTHER_TEXT)
            return grown, grows
        return None, grows

    def _growing(self, request: _Request) -> Generator[Completion, None, None]:
        """Ask for a stream; yield its text after each response, its end token only at the end.

        Where Triton merged requests for NVIDIA's backend, lengths are too large, and a text that
        goes on seems to have ended with the first token that fills its row.
        """
        whole: Completion | None = None
        with closing(self._transport.stream(request.inputs)) as answers:
            for answer in answers:
                [[whole]] = request.completions(answer)
                yield whole.without(request.ending.end_id)
        if whole is not None:
            yield whole

    def _whole(self, request: _Request) -> list[tuple[Completion, ...]]:
        return request.completions(self._transport.infer(request.inputs))

    def _last(self, request: _Request) -> list[tuple[Completion, ...]]:
        """Return the completions in the last response of a stream."""
        with closing(self._transport.stream(request.inputs)) as answers:
            last = deque(answers, maxlen=1)
        if not last:
            raise ClientError(NO_ANSWER)
        rows = request.completions(last[0])
        if not all(beam.ended for row in rows for beam in row):
            raise ClientError(CUT_SHORT)
        return rows

    def _persistently(self, ask: Callable[[], T]) -> T:
        """Ask; where the server is gone, wait for it and ask again."""
        times = 0

        def once() -> T:
            nonlocal times
            times += 1
            try:
                return ask()
            except GatewayTimeoutError as exc:
                # The server would only compute the same text once more.
                raise SlowError(f"{exc}. {GATEWAY_REMEDY}") from exc

        def again(timeout_s: float) -> T:
            self._model = self._transport.describe(timeout_s)
            try:
                return once()
            except UnavailableError as exc:
                if times < MOST_TIMES:
                    raise
                raise ClientError(
                    f"{exc}. The request was sent {times} times, and the server was there before "
                    "each and gone behind it; is it the request that ends it? Its log may tell"
                ) from exc

        try:
            return once()
        except UnavailableError:
            if not self._wait_s:
                raise
        return wait_until_ready(again, self._wait_s, self._say)
