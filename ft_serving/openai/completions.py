"""Replies to requests, in the objects of OpenAI's API reference, and completions among them."""

import asyncio
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic_core import to_json
from tokenizers import Tokenizer

from ft_serving.client.parameters import checked
from ft_serving.client.tensors import Tokens, check_prompts
from ft_serving.client.text import encode_word
from ft_serving.core.lengths import LengthLimits
from ft_serving.openai.choice import Choice
from ft_serving.openai.errors import OpenAIError
from ft_serving.openai.metrics import Watch
from ft_serving.openai.requests import (
    DEFAULT_MAX_TOKENS,
    CompletionRequest,
    SamplingRequest,
)
from ft_serving.openai.upstream import TextRequest, Upstream

Json = dict[str, Any]
T = TypeVar("T")
_Given = tuple[T] | Exception | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Served:
    """The served model, as requests are read and answered by it.

    Attributes:
        name: Its name in requests and answers.
        tokenizer: Its tokenizer.
        longest_token: The most characters that one of its tokens has.
        limits: How long prompts and answers may be.
    """

    name: str
    tokenizer: Tokenizer
    longest_token: int
    limits: LengthLimits

    def encode(self, texts: Sequence[str], *, special: bool = True) -> list[Tokens]:
        """Return the token ids of prompts.

        Args:
            texts: The prompts.
            special: Whether the tokenizer adds the special tokens that it has for prompts.

        Raises:
            OpenAIError: One is so long that no tokenizer need count its tokens.
        """
        most = (self.limits.context_length or sys.maxsize) * self.longest_token
        if texts and (longest := max(map(len, texts))) > most:
            raise OpenAIError(
                f"a prompt of {longest} characters is longer than the {self.limits.context_length} "
                "tokens that the model can see (its context)",
                param="prompt",
            )
        # Of all ways to encode, the one that lets the event loop run meanwhile.
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=special)
        return [each.ids for each in found]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens, special ones included."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))


class Reply(ABC):
    """A request on its way to its answer.

    Args:
        request: The request.
        served: The model.

    Raises:
        OpenAIError: The prompts cannot be made.
        InvalidRequestError: They, or the parameters, are refused.
    """

    prefix: str
    whole: str
    part: str

    def __init__(self, request: SamplingRequest, served: Served) -> None:
        self.request = request
        self.served = served
        prompts = self.prompts()
        check_prompts([ids for _, ids in prompts])
        self._prompt_tokens = sum(len(ids) for _, ids in prompts)
        words = {
            name: [form for word in given for form in encode_word(served.tokenizer, word)]
            for name, given in (("stop", request.stop_words), ("bad", request.bad_words or ()))
        }
        log_probs = getattr(request, "logprobs", None) is not None
        rows = [prompt for prompt in prompts for _ in range(request.choices)]
        self._choices = []
        for index, (seed, (text, ids)) in enumerate(
            zip(request.seeds(len(rows)), rows, strict=True)
        ):
            length = self.max_tokens(len(ids))
            asked = request.parameters(length, log_probs=log_probs)
            asked_text = TextRequest(
                prompt_ids=ids, parameters=checked({**asked, "seed": seed}), words=words
            )
            self._choices.append(
                Choice(index, text, asked_text, request.stop_words, served.tokenizer)
            )
        self._head = {
            "id": f"{self.prefix}-{secrets.token_hex(12)}",
            "object": self.whole,
            "created": int(time.time()),
            "model": served.name,
        }

    @abstractmethod
    def prompts(self) -> Sequence[tuple[str, Tokens]]:
        """Return each prompt's text, which may be empty where it is not told, and tokens."""

    @abstractmethod
    def max_tokens(self, prompt_length: int) -> int:
        """Return the most tokens to generate behind a prompt of so many."""

    @abstractmethod
    def choice(self, choice: Choice) -> Json:
        """Return a whole text's object."""

    @abstractmethod
    def delta(self, choice: Choice, text: str, *, first: bool) -> Json:
        """Return the object of what came to a text; the choice already has it."""

    async def answer(self, upstream: Upstream, watch: Watch) -> Json:
        """Return the whole answer."""
        async with self._growing(upstream, watch) as grown:
            async for _ in grown:
                pass
        choices = [self.choice(choice) for choice in self._choices]
        return {**self._head, "choices": choices, "usage": self._usage()}

    async def events(self, upstream: Upstream, watch: Watch) -> AsyncGenerator[bytes, None]:
        """Yield the answer's parts as they come, each as a server-sent event."""
        # A part has the same before and behind its choice as every other.
        usage: Json = {"usage": None} if self.request.includes_usage else {}
        frame = {**self._head, "object": self.part, "choices": ["-"], **usage}
        before, _, behind = (b"data: " + to_json(frame) + b"\n\n").rpartition(b'"-"')
        begun: set[int] = set()
        growing = len(self._choices)
        event = b""
        async with self._growing(upstream, watch) as grown:
            async for choice, text in grown:
                first = choice.index not in begun
                begun.add(choice.index)
                growing -= choice.finish_reason is not None
                event = before + to_json(self.delta(choice, text, first=first)) + behind
                # The last goes with what follows it, in one write.
                if growing:
                    yield event
        if usage:
            last = {**frame, "choices": [], "usage": self._usage()}
            event += b"data: " + to_json(last) + b"\n\n"
        yield event + b"data: [DONE]\n\n"

    @asynccontextmanager
    async def _growing(
        self, upstream: Upstream, watch: Watch
    ) -> AsyncIterator[AsyncIterator[tuple[Choice, str]]]:
        """Let the choices grow; give each with what comes to it."""
        with upstream.room(len(self._choices)):
            watch.prompt(self._prompt_tokens)
            texts = [choice.grow(upstream, watch) for choice in self._choices]
            # Most requests have one. A task and a queue would cost as much as the token itself.
            async with aclosing(texts[0] if len(texts) == 1 else _merged(texts)) as grown:
                yield grown

    def _usage(self) -> Json:
        generated = sum(len(choice.token_ids) for choice in self._choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": generated,
            "total_tokens": self._prompt_tokens + generated,
        }


async def _merged(sources: Sequence[AsyncGenerator[T, None]]) -> AsyncGenerator[T, None]:
    """Yield the items of all sources as they come; closing it closes the sources."""
    queue: asyncio.Queue[_Given[T]] = asyncio.Queue(len(sources))
    tasks = [asyncio.create_task(_pump(source, queue)) for source in sources]
    growing = len(tasks)
    try:
        while growing:
            given = await queue.get()
            if isinstance(given, tuple):
                yield given[0]
            elif given:
                raise given
            else:
                growing -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(source: AsyncGenerator[T, None], queue: "asyncio.Queue[_Given[T]]") -> None:
    """Move a source's items to a queue, and behind them the error that ended it, or None."""
    try:
        async with aclosing(source) as items:
            async for item in items:
                await queue.put((item,))
    except Exception as exc:  # noqa: BLE001 - who waits for the items raises it
        await queue.put(exc)
    else:
        await queue.put(None)


class CompletionReply(Reply):
    """A completion of prompts."""

    prefix, whole, part = "cmpl", "text_completion", "text_completion"
    request: CompletionRequest

    def prompts(self) -> Sequence[tuple[str, Tokens]]:
        """Return each prompt's text and tokens."""
        prompts = self.request.prompts
        texts = [prompt for prompt in prompts if isinstance(prompt, str)]
        encoded = iter(self.served.encode(texts))
        read: list[tuple[str, Tokens]] = []
        for prompt in prompts:
            if isinstance(prompt, str):
                read.append((prompt, next(encoded)))
            else:
                read.append((self.served.decode(prompt) if self.request.echo else "", prompt))
        return read

    def max_tokens(self, _prompt_length: int) -> int:
        """Return what the request says, or OpenAI's default."""
        most = self.served.limits.output_length or DEFAULT_MAX_TOKENS
        return self.request.max_tokens or min(DEFAULT_MAX_TOKENS, most)

    def choice(self, choice: Choice) -> Json:
        """Return an object of `choices`."""
        return self.delta(choice, choice.text, first=True)

    def delta(self, choice: Choice, text: str, *, first: bool) -> Json:
        """Return an object of a part's `choices`."""
        echo = choice.prompt if first and self.request.echo else ""
        return {
            "index": choice.index,
            "text": echo + text,
            "logprobs": self._log_probs(choice),
            "finish_reason": choice.finish_reason,
        }

    def _log_probs(self, choice: Choice) -> Json | None:
        """Return the log probabilities of the tokens that were not told yet."""
        if self.request.logprobs is None:
            return None
        begin = choice.told
        choice.told = len(choice.token_ids)
        ids, values = choice.token_ids[begin:], choice.log_probs[begin:]
        tokens = [self.served.decode([token]) for token in ids]
        offset = len(self.served.decode(choice.token_ids[:begin]))
        offsets = []
        for token in tokens:
            offsets.append(offset)
            offset += len(token)
        top = [{token: value} for token, value in zip(tokens, values, strict=True)]
        return {
            "tokens": tokens,
            "token_logprobs": values,
            "top_logprobs": top if self.request.logprobs else None,
            "text_offset": offsets,
        }
