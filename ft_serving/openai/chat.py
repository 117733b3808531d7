"""Chat completions: from a conversation to `chat.completion` and `chat.completion.chunk`."""

from collections.abc import Mapping, Sequence

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ft_serving.client.tensors import Tokens
from ft_serving.openai.choice import Choice
from ft_serving.openai.completions import Json, Reply, Served
from ft_serving.openai.errors import OpenAIError
from ft_serving.openai.requests import DEFAULT_MAX_TOKENS, ChatRequest


class ChatTemplate:
    """A chat template in Jinja, as `tokenizer_config.json` has it.

    Raises:
        OpenAIError: It cannot be read.
    """

    def __init__(self, source: str) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _refuse
        try:
            self._template = environment.from_string(source)
        except TemplateError as exc:
            raise OpenAIError(f"The chat template cannot be read: {exc}") from exc

    def render(self, messages: Sequence[Mapping[str, str]]) -> str:
        """Return the prompt of a conversation.

        Raises:
            OpenAIError: The template refuses it.
        """
        try:
            return self._template.render(messages=messages, add_generation_prompt=True)
        except TemplateError as exc:
            said = f"the chat template refuses them: {exc}"
            raise OpenAIError(said, param="messages") from exc


def _refuse(message: str) -> None:
    raise TemplateError(message)


class ChatReply(Reply):
    """A completion of a conversation."""

    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"
    request: ChatRequest

    def __init__(
        self,
        request: ChatRequest,
        served: Served,
        template: ChatTemplate,
    ) -> None:
        self._template = template
        super().__init__(request, served)

    def prompts(self) -> Sequence[tuple[str, Tokens]]:
        """Return the rendered conversation and its tokens."""
        text = self._template.render([message.rendered() for message in self.request.messages])
        [ids] = self.served.encode([text], special=False)
        return [("", ids)]

    def max_tokens(self, prompt_length: int) -> int:
        """Return what the request says, or what the model has room for."""
        asked = self.request.max_completion_tokens or self.request.max_tokens
        limits = self.served.limits
        context = limits.context_length
        left = max(1, context - prompt_length) if context else DEFAULT_MAX_TOKENS
        return asked or min(left, limits.output_length or left)

    def choice(self, choice: Choice) -> Json:
        """Return an object of `choices`."""
        return {
            "index": choice.index,
            "message": {"role": "assistant", "content": choice.text, "refusal": None},
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }

    def delta(self, choice: Choice, text: str, *, first: bool) -> Json:
        """Return an object of a part's `choices`."""
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        return {
            "index": choice.index,
            "delta": delta,
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
