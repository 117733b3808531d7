"""One question to a service that has just become ready."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from ft_serving.client import GenerationClient, Parameters
from ft_serving.client.errors import InvalidRequestError, UnknownModelError

SETTLING_S = 30.0
"""Seconds in which an ingress and the cluster's DNS learn of a service that is ready."""

_PAUSE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What was generated behind a prompt.

    Attributes:
        text: The text.
        output_ids: Its tokens.
        seconds: How long the request took, without any wait before it.
    """

    text: str
    output_ids: tuple[int, ...]
    seconds: float


def ask(
    client: GenerationClient,
    prompt: str,
    parameters: Parameters,
    say: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Answer:
    """Ask a service for the text behind a prompt.

    Args:
        client: Where to ask.
        prompt: The prompt.
        parameters: Checked ones.
        say: Told what keeps the service from answering at first.
        clock: Monotonic seconds.
        pause: Waits so many seconds.

    Raises:
        ClientError: There is no answer; see `ft_serving.client.errors`.
    """
    begin = clock()
    said = ""
    while True:
        try:
            client.model()
            asked = clock()
            (generation,) = client.generate([prompt], **parameters)
        except (UnknownModelError, InvalidRequestError) as exc:
            if clock() - begin >= SETTLING_S:
                raise
            if str(exc) != said:
                said = str(exc)
                say(f"Not yet: {said}")
            pause(_PAUSE_S)
        else:
            return Answer(
                text=generation.text, output_ids=generation.output_ids, seconds=clock() - asked
            )
