"""How a user calls the service, in words that a shell takes."""

import shlex
from urllib.parse import urlsplit

from stacks.config import StackConfig
from stacks.sections import Protocol


def command(url: str, config: StackConfig) -> str:
    """Return the command that asks a stack's service its golden question.

    Args:
        url: The service's address.
        config: The stack's configuration.
    """
    ingress = config.cluster.ingress_address
    words = ["ft-serving", "generate", "--url", ingress or url]
    if ingress is not None:
        words += ["--host-header", urlsplit(url).netloc]
    if config.serving.protocol is Protocol.GRPC:
        words += ["--protocol", "grpc"]
    words += ["--tokenizer", config.tokenizer_source, "--prompt", config.golden_question.prompt]
    return shlex.join(words)
