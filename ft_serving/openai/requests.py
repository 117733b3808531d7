"""Requests of the OpenAI API, and what each of their fields means to the engines.

The fields are those of OpenAI's API reference for `POST /v1/completions` and
`POST /v1/chat/completions`. A field that the engines cannot honour is refused by its name, and so
is one that is unknown. `top_k`, `repetition_penalty`, `min_tokens`, `bad_words`, and the load
generators' `ignore_eos` come on top: the official client sends them by `extra_body`.
"""

import secrets
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ft_serving.core.parameters import Parameters
from ft_serving.openai.errors import OpenAIError

DEFAULT_MAX_TOKENS = 16
"""OpenAI's default of `max_tokens` for completions."""

_MOST_PROMPTS = 1024
_GREEDY_TOP_P = 1e-6
"""Keeps only the likeliest token, whose log probability is then among all tokens."""

_Stop = str | Annotated[list[str], Field(max_length=16)] | None
_Word = Annotated[str, Field(min_length=1)]


class StreamOptions(BaseModel):
    """Options of a stream."""

    model_config = ConfigDict(extra="forbid", strict=True)

    include_usage: bool = False


class SamplingRequest(BaseModel):
    """The fields that both kinds of requests have."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: _Stop = None
    seed: int | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    user: str | None = None
    top_k: Annotated[int, Field(ge=0, le=1024)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    bad_words: list[_Word] | None = None
    ignore_eos: bool | None = None

    @field_validator("frequency_penalty")
    @classmethod
    def _no_frequency_penalty(cls, value: float | None) -> float | None:
        if value:
            raise ValueError(
                "no engine has it; use repetition_penalty, or presence_penalty on the CPU"
            )
        return value

    @field_validator("logit_bias")
    @classmethod
    def _no_logit_bias(cls, value: dict[str, float] | None) -> dict[str, float] | None:
        if value:
            raise ValueError("no engine has it; use bad_words to forbid words")
        return value

    @field_validator("stop")
    @classmethod
    def _words(cls, value: str | list[str] | None) -> str | list[str] | None:
        if value is not None and "" in ([value] if isinstance(value, str) else value):
            raise ValueError("a stop sequence must not be empty")
        return value

    @model_validator(mode="after")
    def _options_of_streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: only a request with stream: true has them")
        return self

    @property
    def choices(self) -> int:
        """Texts for each prompt."""
        return self.n or 1

    @property
    def stop_words(self) -> list[str]:
        """The texts that end a text, and are no part of it."""
        return [self.stop] if isinstance(self.stop, str) else list(self.stop or ())

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the number of tokens."""
        return self.stream_options is not None and self.stream_options.include_usage

    def parameters(self, max_tokens: int, *, log_probs: bool) -> Parameters:
        """Return what the engines are to do, without the seed.

        OpenAI draws from all tokens unless a request says otherwise, and so does this. Where
        `temperature` is 0, the likeliest token is taken.
        """
        greedy = self.temperature == 0
        parameters: dict[str, Any] = {"output_length": max_tokens}
        if greedy and log_probs:
            parameters["top_p"] = _GREEDY_TOP_P
        elif greedy:
            parameters["top_k"] = 1
        else:
            parameters["top_p"] = 1.0 if self.top_p is None else self.top_p
            parameters["temperature"] = 1.0 if self.temperature is None else self.temperature
            if self.top_k:
                parameters["top_k"] = self.top_k
        given = {
            "presence_penalty": self.presence_penalty or None,
            "repetition_penalty": self.repetition_penalty,
            "min_length": max_tokens if self.ignore_eos else self.min_tokens or None,
            "stop": self.stop_words or None,
            "bad": self.bad_words or None,
            "log_probs": log_probs or None,
        }
        parameters |= {name: value for name, value in given.items() if value is not None}
        return cast("Parameters", parameters)

    def seeds(self, count: int) -> Sequence[int]:
        """Return a seed for each of `count` texts: the request's and those after it, or any."""
        first = secrets.randbits(62) if self.seed is None else self.seed
        return [(first + number) % 2**63 for number in range(count)]


class CompletionRequest(SamplingRequest):
    """A request to `POST /v1/completions`."""

    prompt: str | list[str] | list[int] | list[list[int]]
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None
    best_of: int | None = None
    suffix: str | None = None

    @field_validator("prompt")
    @classmethod
    def _some_prompts(cls, value: Any) -> Any:  # noqa: ANN401 - any of the field's types
        if not isinstance(value, str) and not value:
            raise ValueError("there is no prompt")
        if isinstance(value, list) and len(value) > _MOST_PROMPTS and not isinstance(value[0], int):
            raise ValueError(f"a request may have {_MOST_PROMPTS} prompts; got {len(value)}")
        return value

    @field_validator("suffix")
    @classmethod
    def _no_suffix(cls, value: str | None) -> str | None:
        if value:
            raise ValueError("no model here fills a gap; leave it out")
        return value

    @model_validator(mode="after")
    def _combinations(self) -> Self:
        if self.best_of is not None and self.best_of != self.choices:
            raise ValueError(f"best_of: must equal n, {self.choices}; got {self.best_of}")
        if self.logprobs is not None and self.echo:
            raise ValueError("logprobs: engines have none for a prompt; leave out echo")
        if self.logprobs and not (self.logprobs == 1 and self.temperature == 0):
            raise ValueError(
                "logprobs: engines have the log probability of the chosen token only; use 0, or 1 "
                f"with temperature 0; got {self.logprobs}"
            )
        return self

    @property
    def prompts(self) -> list[str | list[int]]:
        """The prompts, each as text or as token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return cast("list[str | list[int]]", self.prompt)


class ContentPart(BaseModel):
    """A part of a message; models of text take text only."""

    model_config = ConfigDict(extra="forbid", strict=True)

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """A message of a conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart]
    name: str | None = None

    def rendered(self) -> dict[str, str]:
        """Return the message as chat templates expect it."""
        text = self.content
        if not isinstance(text, str):
            text = "".join(part.text for part in text)
        return {"role": self.role, "content": text}


class ChatRequest(SamplingRequest):
    """A request to `POST /v1/chat/completions`."""

    messages: Annotated[list[Message], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: Literal[False] | None = None


_Request = TypeVar("_Request", bound=SamplingRequest)


def parse(kind: type[_Request], body: bytes) -> _Request:
    """Read a request.

    Raises:
        OpenAIError: It is no JSON object, or a field is missing, unknown or wrong. The message has
            all of them, and `param` the first.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as exc:
        problems = [_problem(dict(error)) for error in exc.errors(include_url=False)]
        # A field of several types has an error for each of them.
        told = dict(reversed(problems))
        param = next(reversed(told), None)
        lines = [f"{name}: {said}" if name else said for name, said in reversed(told.items())]
        raise OpenAIError("; ".join(lines), param=param or None) from exc


def _problem(error: dict[str, Any]) -> tuple[str, str]:
    """Return the field of an error, and what is wrong with it."""
    said = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        name, colon, rest = said.partition(": ")
        if error["type"] == "value_error" and colon and name.isidentifier():
            return name, rest
        return "", f"The body must be a JSON object: {said}"
    if error["type"] == "extra_forbidden":
        said = "there is no such parameter here"
    elif error["type"] not in ("missing", "value_error"):
        said = f"{said}; got {str(error['input'])[:100]!r}"
    return str(error["loc"][0]), said
