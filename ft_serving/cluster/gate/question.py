"""Asks a service that has just become ready one question, and checks the answer."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from urllib3.exceptions import HTTPError

from ft_serving.client import Generation, GenerationClient, Parameters
from ft_serving.client.endpoint import Endpoint
from ft_serving.client.errors import UnknownHostError, UnknownModelError
from ft_serving.client.http_transport import address, connections, headers
from ft_serving.cluster.errors import ClusterError
from ft_serving.core.proxies import proxy_for

SETTLING_S = 30.0
"""Seconds in which an ingress and the cluster's DNS learn of a service that is ready."""

_PAUSE_S = 1.0

_LONGEST_QUOTE = 500


def ask(
    client: GenerationClient,
    prompt: str,
    parameters: Parameters,
    say: Callable[[str], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> tuple[Generation, float]:
    """Ask a service for the text behind a prompt, and again while its ingress does not know it.

    `say` gets the reasons why it does not answer at first; `clock` and `pause` count in seconds.

    Returns:
        The generation, and the seconds of the last request, without the wait before it.

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
        except (UnknownModelError, UnknownHostError) as exc:
            if clock() - begin >= SETTLING_S:
                raise
            if str(exc) != said:
                said = str(exc)
                say(f"Not yet: {said}")
            pause(_PAUSE_S)
        else:
            return generation, clock() - asked


def complete(
    endpoint: Endpoint, model: str, prompt: str, output_length: int, timeout_s: float
) -> str:
    """Return the greedy text that the OpenAI API gives behind a prompt.

    Args:
        endpoint: The service's.
        model: The model's name in the API.
        prompt: The prompt.
        output_length: Most tokens to generate.
        timeout_s: Seconds that the answer may take.

    Raises:
        ClusterError: It gives none.
    """
    url = f"{address(endpoint)}/v1/completions"
    asked = {"model": model, "prompt": prompt, "max_tokens": output_length, "temperature": 0}
    said: object = "no answer"
    try:
        with connections(endpoint, proxy_for(url)) as pool:
            response = pool.request(
                "POST",
                url,
                json=asked,
                headers=headers(endpoint),
                redirect=False,
                retries=False,
                timeout=timeout_s,
            )
        said = f"{response.status}: {response.data[:_LONGEST_QUOTE].decode('utf-8', 'replace')}"
        return str(response.json()["choices"][0]["text"])
    except (HTTPError, OSError) as exc:
        said = exc
    except (ValueError, LookupError, TypeError):
        pass
    raise ClusterError(
        f"The service is ready, but its OpenAI API gives no completion: POST {url} gave {said}"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Expectation:
    """The golden answer, or words that a model without one would not give by chance."""

    text: str | None = None  # The whole text behind the prompt.
    token_ids: Sequence[int] | None = None  # All tokens of that text.
    words: Sequence[str] = ()  # Words that the text contains in this order, in upper or lower case.

    def check(self, prompt: str, answer: str, output_ids: Sequence[int]) -> None:
        """Compare the text and the tokens that were generated behind a prompt.

        Raises:
            ClusterError: They are not the expected ones.
        """
        if self.text is not None and answer != self.text:
            raise ClusterError(_wrong(prompt, repr(self.text), answer))
        if self.token_ids is not None and list(output_ids) != list(self.token_ids):
            got = f"; its tokens are {_listed(output_ids)}"
            raise ClusterError(_wrong(prompt, f"the tokens {_listed(self.token_ids)}", answer, got))
        rest, behind = answer.casefold(), ""
        for word in self.words:
            _, found, rest = rest.partition(word.casefold())
            if not found:
                wanted = f"a text with {', then '.join(map(repr, self.words))}"
                raise ClusterError(_wrong(prompt, wanted, answer, f"; it lacks {word!r}{behind}"))
            behind = f" behind {word!r}"

    def of_text(self, answer: str) -> "Expectation":
        """Return what a text without its tokens has to be, once an answer with them was right.

        Args:
            answer: The right answer's text; where words are expected, another may be right, too.
        """
        return self if self.words else replace(self, text=answer, token_ids=None)


def _wrong(prompt: str, expected: str, answer: str, more: str = "") -> str:
    return (
        f"The service is ready and gives a wrong answer{more}.\n"
        f"Asked:    {prompt!r}\nExpected: {expected}\nGot:      {answer!r}\n"
        "Are the weights those of this model, whole, and converted for this server? An FP16 server "
        "may also differ from an FP32 answer in its last words"
    )


def _listed(token_ids: Sequence[int]) -> str:
    return ",".join(map(str, token_ids))
