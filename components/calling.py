"""How a user calls the service, in words that a shell takes."""

import shlex
from urllib.parse import urlsplit

from stacks.config import StackConfig
from stacks.sections import Protocol


def address(url: str, config: StackConfig) -> str:
    """Return where requests go to: the ingress, where the service's own name does not lead there.

    Args:
        url: The service's address.
        config: The stack's configuration.
    """
    return _ingress(config) or url


def host(url: str) -> str:
    """Return the Host header by which the ingress finds the service with this address."""
    return urlsplit(url).netloc


def command(url: str, config: StackConfig) -> str:
    """Return the command that asks a stack's service its golden question.

    Args:
        url: The service's address.
        config: The stack's configuration.
    """
    words = ["ft-serving", "generate", "--url", address(url, config)]
    if _ingress(config) is not None:
        words += ["--host-header", host(url)]
    if config.serving.protocol is Protocol.GRPC:
        words += ["--protocol", "grpc"]
    words += ["--wait", str(config.timeouts.client)]
    words += ["--tokenizer", config.tokenizer_source, "--prompt", config.golden_question.prompt]
    return shlex.join(words)


def _ingress(config: StackConfig) -> str | None:
    """The ingress's address, where the service has to be reached by it."""
    return config.cluster.ingress_address if config.serving.public else None
