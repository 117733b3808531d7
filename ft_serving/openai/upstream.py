"""Generates texts of the served model on an event loop, and waits for it where it is away."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from typing import Any

from ft_serving.client.answer import Completion, Ending, completion, completions
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import (
    ClientError,
    GatewayTimeoutError,
    SlowError,
    UnavailableError,
)
from ft_serving.client.model import ModelDescription
from ft_serving.client.patience import Patience
from ft_serving.client.session import (
    CUT_SHORT,
    GATEWAY_REMEDY,
    MOST_TIMES,
    NO_ANSWER,
    OTHER_TEXT,
    Words,
)
from ft_serving.client.tensors import Tokens, encode, rows
from ft_serving.core.parameters import Parameters
from ft_serving.openai.errors import OpenAIError
from ft_serving.openai.transport import AsyncTransport

MOST_TEXTS = 512
"""Texts that are under way at once: each is a connection, of the 1024 files of many systems."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextRequest:
    """A prompt, and how a text is to be generated behind it.

    Attributes:
        prompt_ids: The prompt's tokens.
        parameters: Checked ones, with the output length.
        words: The token ids of the words of `stop` and of `bad`, by these names.
    """

    prompt_ids: Tokens
    parameters: Parameters
    words: Words


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens that came to a text.

    Attributes:
        ids: The tokens.
        log_probs: Their log probabilities, if asked for.
        whole: All tokens of the text, in its last piece; None before.
    """

    ids: Sequence[int]
    log_probs: Sequence[float] = ()
    whole: Completion | None = None


class Upstream:
    """The served model.

    It is asked nothing before the first request. A request that finds it away, or loses it, waits
    and is repeated, as one of `ft_serving.client.session` is; all wait together.

    Args:
        endpoint: The model's address, over HTTP.
        name: The model's name there.
        check: Is given the model before anything is sent to it, and may raise a ClientError.
        wait_s: Seconds to wait for a model that is not ready.
        timeout_s: Seconds that a text may take.
        say: Is told why requests have to wait.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        name: str,
        check: Callable[[ModelDescription], None],
        *,
        wait_s: float,
        timeout_s: float,
        say: Callable[[str], None],
    ) -> None:
        self.transport = AsyncTransport(endpoint, name, timeout_s)
        self._check = check
        self._wait_s = wait_s
        self._say = say
        self._free = MOST_TEXTS
        self._model: ModelDescription | None = None
        self._waiting: asyncio.Task[ModelDescription] | None = None

    async def aclose(self) -> None:
        """Give up waiting, and close the connections."""
        if self._waiting:
            self._waiting.cancel()
        await self.transport.aclose()

    async def model(self) -> ModelDescription:
        """Return the model, once it is ready."""
        if self._model is None:
            if self._waiting is None or self._waiting.done():
                self._waiting = asyncio.create_task(self._wait())
            # One who goes away does not end the wait of the others.
            self._model = await asyncio.shield(self._waiting)
        return self._model

    @contextmanager
    def room(self, texts: int) -> Iterator[None]:
        """Take room for so many texts.

        Raises:
            OpenAIError: There is not so much.
        """
        if texts > MOST_TEXTS:
            raise OpenAIError(
                f"a request may have {MOST_TEXTS} texts (prompts times n); got {texts}: send "
                "several",
                param="n",
            )
        if texts > self._free:
            raise OpenAIError(
                f"this server has room for {self._free} more texts now, and the request has "
                f"{texts}. Ask again later",
                status=HTTPStatus.TOO_MANY_REQUESTS,
            )
        self._free -= texts
        try:
            yield
        finally:
            self._free += texts

    async def stream(self, request: TextRequest) -> AsyncGenerator[Piece, None]:
        """Generate a text, and yield each piece as it comes; closing it cancels the request.

        A model that is not served decoupled gives it in one piece.

        Raises:
            ClientError: There is no text, or no more of it.
        """
        patience = Patience(self._wait_s, self._say)
        given: list[int] = []
        for times in count(1):
            try:
                async with aclosing(self._once(request, tuple(given))) as pieces:
                    async for piece in pieces:
                        given += piece.ids
                        yield piece
            except GatewayTimeoutError as exc:
                raise SlowError(f"{exc}. {GATEWAY_REMEDY}") from exc
            except UnavailableError as exc:
                if times == MOST_TIMES:
                    raise
                self._model = None
                await asyncio.sleep(patience.pause(exc))
            else:
                return

    async def _wait(self) -> ModelDescription:
        patience = Patience(self._wait_s, self._say)
        while True:
            try:
                model = await self.transport.ask_description(patience.probe_s)
            except UnavailableError as exc:
                await asyncio.sleep(patience.pause(exc))
            else:
                self._check(model)
                return model

    async def _once(
        self, request: TextRequest, had: tuple[int, ...]
    ) -> AsyncGenerator[Piece, None]:
        """Ask once, and yield what comes behind the tokens that are there already."""
        model = await self.model()
        asked = (model, [request.prompt_ids], request.parameters, request.words)
        length = request.parameters["output_length"]
        ending = Ending(output_length=length, end_id=model.end_id, stop_words=request.words["stop"])
        begin = len(request.prompt_ids)
        seen = begin + len(had)
        if model.decoupled:
            values: Mapping[str, Any] = {}
            with self.transport.decoding():
                async with aclosing(self.transport.ask_events(rows(*asked))) as events:
                    async for values in events:
                        ids = values["output_ids"]
                        new = ids[seen : min(values["sequence_length"], begin + length)]
                        if new and tuple(ids[begin : begin + len(had)]) != had:
                            raise ClientError(OTHER_TEXT)
                        # NVIDIA's backend fills rows with it; the whole text tells whether it
                        # belongs to it.
                        if ending.end_id in new:
                            new = new[: new.index(ending.end_id)]
                        if new:
                            log_probs = values.get("output_log_probs", ())
                            yield Piece(new, log_probs[seen - begin :][: len(new)])
                            seen += len(new)
                if not values:
                    raise ClientError(NO_ANSWER)
                whole = completion(
                    values["output_ids"][begin:],
                    values["sequence_length"] - begin,
                    ending,
                    log_probs=values.get("output_log_probs"),
                )
        else:
            answer = await self.transport.ask_whole(encode(*asked))
            [[whole]] = completions(answer, (begin,), ending)
        if whole.output_ids[: len(had)] != had:
            raise ClientError(OTHER_TEXT)
        if not whole.ended:
            raise UnavailableError(CUT_SHORT)
        rest = slice(seen - begin, None)
        yield Piece(whole.output_ids[rest], (whole.log_probs or ())[rest], whole)
