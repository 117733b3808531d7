"""Generates text behind prompts, by way of a served model."""

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from pathlib import Path
from typing import Self, SupportsIndex, Unpack

from tokenizers import Tokenizer

from ft_serving.client.answer import Chunk, Completion, Generation
from ft_serving.client.endpoint import Endpoint, token_from_environment
from ft_serving.client.errors import InvalidRequestError, TokenizerError, refuse
from ft_serving.client.model import ModelDescription
from ft_serving.client.parameters import checked, text_problems
from ft_serving.client.session import Session, Words
from ft_serving.client.tensors import token_lists
from ft_serving.client.text import TextStream, check_tokenizer, decode, encode_word
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER, END_OF_TEXT, load_tokenizer
from ft_serving.client.transport import Transport
from ft_serving.core.parameters import Parameters
from ft_serving.core.protocol import MODEL_NAME, InferenceProtocol

COLD_START_S = 600.0
"""Seconds to wait for a model that is not ready: the ten minutes that a cold start may take."""

TIMEOUT_S = 300.0
"""Seconds that a request may take: Knative's default."""


class GenerationClient:
    """A client of one served model; threads may share it.

    Nothing is connected or loaded before the first request, which waits through a cold start. A
    later request that finds the server gone, or loses it, waits again and is repeated.

    Every method may raise a `ClientError` (see `ft_serving.client.errors`) that says what to do.
    """

    def __init__(
        self,
        url: str,
        *,
        protocol: InferenceProtocol | None = None,
        model: str = MODEL_NAME,
        tokenizer: Tokenizer | str | Path = DEFAULT_TOKENIZER,
        host_header: str | None = None,
        ca_file: Path | None = None,
        token: str | None = None,
        wait_s: float = COLD_START_S,
        timeout_s: float = TIMEOUT_S,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Choose a server and a model.

        Args:
            url: `http://`, `https://`, `grpc://` or `grpcs://`, or only host and port.
            protocol: By default the one that the address names; HTTP, where it names none.
            model: The model's name on the server.
            tokenizer: One that is loaded; or a `tokenizer.json`; or `OWNER/NAME@REVISION` on the
                model hub.
            host_header: Name that an ingress routes by, where `url` has its address.
            ca_file: Certificates to trust instead of the system's (PEM).
            token: Bearer token; by default that in FT_SERVING_TOKEN.
            wait_s: Seconds to wait for a model that is not ready; 0 means not to wait.
            timeout_s: Seconds that a request may take, a whole stream included.
            say: Is told why the user has to wait.

        Raises:
            InvalidRequestError: The address or one of its attributes, or that of a proxy in the
                environment, is not what it should be.
            TokenizerError: The tokenizer is another library's object.
        """
        if not isinstance(tokenizer, (Tokenizer, str, Path)):
            raise TokenizerError(
                "tokenizer: must be a Tokenizer of the library `tokenizers`, a file, or "
                f"OWNER/NAME@REVISION; got {type(tokenizer).__name__} (a fast tokenizer of "
                "transformers has one in its `backend_tokenizer`)"
            )
        endpoint = Endpoint.parse(
            url,
            protocol=protocol,
            host_header=host_header,
            ca_file=ca_file,
            token=token or token_from_environment(os.environ),
        )
        self._session = Session(
            _connect(endpoint, model, timeout_s), self._check_tokenizer, wait_s, say
        )
        self._tokenizer = tokenizer
        self._source = None if isinstance(tokenizer, Tokenizer) else str(tokenizer)
        self._read = False
        self._said: str | None = None
        self._say = say

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def model(self) -> ModelDescription:
        """Return the served model, once it is ready."""
        return self._session.model()

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer; load it at the first call.

        Raises:
            TokenizerError: It cannot be found or read, or the hub refused or was not reached.
        """
        if not isinstance(self._tokenizer, Tokenizer):
            self._tokenizer = load_tokenizer(self._tokenizer, os.environ, self._say)
        self._read = True
        return self._tokenizer

    def generate(
        self, prompts: Iterable[str], **parameters: Unpack[Parameters]
    ) -> list[Generation]:
        """Return a generation for each prompt, made in one batch; see `Parameters`."""
        if isinstance(prompts, str) or not isinstance(prompts, Iterable):
            raise InvalidRequestError("generate takes a list of prompts; for one write [prompt]")
        prompts = list(prompts)
        parameters = checked(parameters)
        words, end_id = self._words(parameters), self.tokenizer().token_to_id(END_OF_TEXT)
        ids = [self.encode(prompt) for prompt in prompts]
        done = self._session.complete(ids, parameters, words, end_id)
        return [self._generation(*each) for each in zip(prompts, ids, done, strict=True)]

    def stream(self, prompt: str, **parameters: Unpack[Parameters]) -> Generator[Chunk, None, None]:
        """Generate a text by one beam, and yield each piece as it comes; see `Parameters`.

        A model that is not served decoupled gives it in one piece. Closing the generator cancels
        the request.
        """
        parameters = checked(parameters)
        words, end_id = self._words(parameters), self.tokenizer().token_to_id(END_OF_TEXT)
        ids = self.encode(prompt)
        pieces = TextStream(self.tokenizer())
        seen = 0
        last: tuple[Completion, ...] = ()
        with closing(self._session.stream(ids, parameters, words, end_id)) as grown:
            for completion in grown:
                new, readable = completion.output_ids[seen:], completion.text_ids[seen:]
                seen += len(new)
                last = (completion,)
                yield Chunk(text=pieces.add(readable), output_ids=new)
        whole = self._generation(prompt, ids, last)
        yield Chunk(text=pieces.end(), output_ids=(), generation=whole)

    def generate_ids(
        self, prompts: Iterable[Iterable[SupportsIndex]], **parameters: Unpack[Parameters]
    ) -> list[tuple[Completion, ...]]:
        """Return the beams behind each prompt's tokens, best first; see `Parameters`.

        Token ids may be Python's or numpy's. Words among the parameters need the tokenizer. Where
        neither `end_id` nor the server says what ends a text, one that ends with the last token
        asked for counts as cut off.
        """
        parameters, ids = checked(parameters), token_lists(prompts)
        return self._session.complete(ids, parameters, self._words(parameters), None)

    def stream_ids(
        self, prompt: Iterable[SupportsIndex], **parameters: Unpack[Parameters]
    ) -> Generator[tuple[int, ...], None, None]:
        """Generate tokens by one beam, and yield those of each response; see `generate_ids`."""
        parameters, [ids] = checked(parameters), token_lists([prompt])
        words = self._words(parameters)
        seen = 0
        with closing(self._session.stream(ids, parameters, words, None)) as grown:
            for completion in grown:
                yield completion.output_ids[seen:]
                seen = len(completion.output_ids)

    def encode(self, prompt: str) -> tuple[int, ...]:
        """Return a prompt's token ids.

        Raises:
            InvalidRequestError: It is no text.
        """
        refuse(text_problems("prompt", prompt))
        return tuple(self.tokenizer().encode(prompt).ids)

    def _words(self, parameters: Parameters) -> Words:
        words = {"stop": parameters.get("stop", []), "bad": parameters.get("bad", [])}
        return {
            name: [form for word in given for form in encode_word(self.tokenizer(), word)]
            for name, given in words.items()
        }

    def _check_tokenizer(self, model: ModelDescription) -> None:
        """Compare the tokenizer with the model, if it was needed; say a doubt once."""
        if not self._read:
            return
        doubt = check_tokenizer(self.tokenizer(), self._source, model)
        if doubt and doubt != self._said:
            self._said = doubt
            self._say(doubt)

    def _generation(
        self, prompt: str, prompt_ids: tuple[int, ...], beams: tuple[Completion, ...]
    ) -> Generation:
        return Generation(
            prompt=prompt,
            prompt_ids=prompt_ids,
            texts=tuple(decode(self.tokenizer(), beam.text_ids) for beam in beams),
            completions=beams,
        )


def _connect(endpoint: Endpoint, model: str, timeout_s: float) -> Transport:
    # Imported here, because grpcio takes a third of a second that HTTP need not wait for.
    if endpoint.protocol is InferenceProtocol.GRPC:
        from ft_serving.client.grpc_transport import GrpcTransport

        return GrpcTransport(endpoint, model, timeout_s)
    from ft_serving.client.http_transport import HttpTransport

    return HttpTransport(endpoint, model, timeout_s)
