"""The process that serves the OpenAI API."""

import logging
import os
import signal
import sys

import uvicorn

from ft_serving.client.endpoint import Endpoint, token_from_environment
from ft_serving.client.model import ModelDescription
from ft_serving.client.text import check_tokenizer
from ft_serving.client.tokenizer import load_tokenizer
from ft_serving.core.protocol import MODEL_NAME, InferenceProtocol
from ft_serving.openai.app import create_app
from ft_serving.openai.chat import ChatTemplate
from ft_serving.openai.upstream import Upstream

GRACE_S = 30
"""Seconds that requests under way may take once the server was told to stop."""

KEEP_ALIVE_S = 620
"""Seconds that an idle connection stays open: longer than proxies keep theirs, which lose a request
that they send at the moment when it is closed."""


def serve(
    url: str,
    tokenizer: str,
    model: str,
    *,
    host: str,
    port: int,
    chat_template: str | None,
    wait_s: float,
    timeout_s: float,
) -> None:
    """Serve the OpenAI API in front of a served model until SIGINT or SIGTERM.

    Args:
        url: The model's address, over HTTP.
        tokenizer: See `load_tokenizer`.
        model: The model's name in requests and answers.
        host: The address to listen on.
        port: The port to listen on.
        chat_template: Jinja that makes a prompt of a conversation.
        wait_s: Seconds to wait for a model that is not ready.
        timeout_s: Seconds that a text may take.

    Raises:
        ClientError: The address or the tokenizer cannot be used.
        OpenAIError: The chat template cannot be read.
    """
    endpoint = Endpoint.parse(
        url, protocol=InferenceProtocol.HTTP, token=token_from_environment(os.environ)
    )
    loaded = load_tokenizer(tokenizer, os.environ, _say)

    def check(model: ModelDescription) -> None:
        if doubt := check_tokenizer(loaded, tokenizer, model):
            _say(doubt)

    upstream = Upstream(
        endpoint,
        MODEL_NAME,
        check,
        wait_s=wait_s,
        timeout_s=timeout_s,
        say=_say,
    )
    template = None if chat_template is None else ChatTemplate(chat_template)
    # asyncio warns of each write to a client that went away in the same turn of the loop.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn ends in order, and then sends itself the signal again: an end that was asked for.
        signal.signal(number, lambda *_: None)
    uvicorn.run(
        create_app(upstream, model, loaded, template),
        host=host,
        port=port,
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=GRACE_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )


def _say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
