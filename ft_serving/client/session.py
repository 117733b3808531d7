"""Requests to one model, in token ids."""

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
"""How often one request is sent at most: it may be what ends the server each time."""

_NO_ANSWER = "The server ended the stream without an answer; see its log"
_CUT_SHORT = (
    "The server ended the stream before its text had ended; ask again. Its log, or that "
    "of a gateway before it, may say why"
)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lexicon:
    """What the tokenizer knows about a request.

    Attributes:
        stop: Token ids of the words that end a text.
        bad: Token ids of the words that must not be generated.
        end_id: The token that is to end a text, if the request says so.
        usual_end_id: The token that ends a text where neither request nor server says so.
        check: Is told the model before anything is sent to it; raises a ClientError if they do
            not fit together.
    """

    stop: Sequence[Tokens]
    bad: Sequence[Tokens]
    end_id: int | None
    usual_end_id: int | None
    check: Callable[[ModelDescription], None]

    def end_for(self, model: ModelDescription) -> int | None:
        """Return the token that ends this model's texts, if it is known."""
        known = (self.end_id, model.end_id, self.usual_end_id)
        return next((token for token in known if token is not None), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """One request's tensors, and what it takes to read the answer."""

    inputs: Mapping[str, Array]
    prompt_lengths: tuple[int, ...]
    ending: Ending

    def completions(self, answer: Answer) -> list[tuple[Completion, ...]]:
        return completions(answer, self.prompt_lengths, self.ending)


class Session:
    """A model behind a transport, which it waits for where that helps.

    A request that finds a server gone that was there before, or loses it, is repeated when the
    server is back: an answer depends on its request alone, so that asking again changes nothing.
    A stream goes on behind the tokens that it has given, also where it ends before its text does.
    """

    def __init__(self, transport: Transport, wait_s: float, say: Callable[[str], None]) -> None:
        """Ask nothing yet; for `wait_s` and `say` see `wait_until_ready`."""
        self._transport = transport
        self._wait_s = wait_s
        self._say = say
        self._model: ModelDescription | None = None

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def model(self) -> ModelDescription:
        """The model, once it is ready."""
        if self._model is None:
            self._model = wait_until_ready(self._transport.describe, self._wait_s, self._say)
        return self._model

    def complete(
        self, prompts: Sequence[Tokens], parameters: Parameters, lexicon: Lexicon
    ) -> list[tuple[Completion, ...]]:
        """Ask for all prompts at once, and for whole completions.

        Args:
            prompts: Token ids.
            parameters: Checked ones.
            lexicon: The token ids that go with them.

        Returns:
            For each prompt its beams, best first.
        """
        check_prompts(prompts)
        if not self.model().decoupled:
            request = self._request(prompts, parameters, lexicon)
            return request.completions(
                self._persistently(partial(self._transport.infer, request.inputs))
            )
        # A decoupled model answers by streams alone; a stream's last response has everything.
        batches = [prompts]
        if len(prompts) > 1 and not self._transport.streams_batches:
            batches = [[prompt] for prompt in prompts]
        requests = [self._request(batch, parameters, lexicon) for batch in batches]
        return [
            row for request in requests for row in self._persistently(partial(self._last, request))
        ]

    def stream(
        self, prompt: Tokens, parameters: Parameters, lexicon: Lexicon
    ) -> Generator[Completion, None, None]:
        """Ask for one prompt's completion as it grows; each has all tokens so far.

        Closing the generator cancels the request.
        """
        if parameters.get("beam_width", 1) != 1:
            raise InvalidRequestError(
                "beam_width: a stream has one beam, since beams change what they have; got "
                f"{parameters['beam_width']}"
            )
        check_prompts([prompt])
        request = self._request([prompt], parameters, lexicon)
        given: Completion | None = None
        while True:
            first, rest = self._persistently(partial(self._begin, request, given))
            with closing(rest):
                if first is None:
                    raise ClientError(_NO_ANSWER if given is None else _CUT_SHORT)
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
                raise ClientError(_CUT_SHORT)

    def _request(
        self, prompts: Sequence[Tokens], parameters: Parameters, lexicon: Lexicon
    ) -> _Request:
        model = self.model()
        lexicon.check(model)
        words = {"stop": lexicon.stop, "bad": lexicon.bad}
        return _Request(
            inputs=encode(model, prompts, parameters, words),
            prompt_lengths=tuple(map(len, prompts)),
            ending=Ending(
                output_length=parameters.get("output_length", model.default_output_length),
                end_id=lexicon.end_for(model),
                stop_words=lexicon.stop,
            ),
        )

    def _begin(
        self, request: _Request, given: Completion | None
    ) -> tuple[Completion | None, Generator[Completion, None, None]]:
        """Open a stream; return what it has behind `given`, if anything, and the rest."""
        grows = self._growing(request)
        for grown in grows:
            if _goes_on(grown, given.output_ids if given else ()):
                return grown, grows
        return None, grows

    def _growing(self, request: _Request) -> Generator[Completion, None, None]:
        """Ask for a stream; give its text after each response, its end token only at the end.

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

    def _last(self, request: _Request) -> list[tuple[Completion, ...]]:
        """What a whole stream's last answer has."""
        last = None
        with closing(self._transport.stream(request.inputs)) as answers:
            for answer in answers:
                last = answer
        if last is None:
            raise ClientError(_NO_ANSWER)
        rows = request.completions(last)
        if not all(beam.ended for row in rows for beam in row):
            raise ClientError(_CUT_SHORT)
        return rows

    def _persistently(self, ask: Callable[[], T]) -> T:
        """Ask; where the server is gone, wait for it and ask again."""
        times = 1
        ask = partial(_in_time, ask)
        try:
            return ask()
        except UnavailableError:
            if not self._wait_s:
                raise

        def again(timeout_s: float) -> T:
            nonlocal times
            self._model = self._transport.describe(timeout_s)
            times += 1
            try:
                return ask()
            except UnavailableError as exc:
                if times < MOST_TIMES:
                    raise
                raise ClientError(
                    f"{exc}. The request was sent {times} times, and the server was there before "
                    "each and gone behind it; is it the request that ends it? Its log may tell"
                ) from exc

        return wait_until_ready(again, self._wait_s, self._say)


def _in_time(ask: Callable[[], T]) -> T:
    """Ask, but not again where that would only have the same text computed once more."""
    try:
        return ask()
    except GatewayTimeoutError as exc:
        raise SlowError(
            f"{exc}. The text takes longer than a gateway before the model allows; ask for fewer "
            "tokens, or raise the gateway's timeout"
        ) from exc


def _goes_on(grown: Completion, given: tuple[int, ...]) -> bool:
    """Whether a stream has come behind the tokens that are given, if any.

    Raises:
        ClientError: It is another text.
    """
    if len(grown.output_ids) <= len(given):
        return False
    if grown.output_ids[: len(given)] != given:
        raise ClientError(
            "The stream broke off, and the server now answers with another text; ask again"
        )
    return True
