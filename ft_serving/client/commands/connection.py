"""Options that tell where a model is served, and the client that they come to."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ft_serving.core.protocol import MODEL_NAME

if TYPE_CHECKING:
    from ft_serving.client import GenerationClient


ProtocolName = Literal["http", "grpc"]

UrlOption = Annotated[
    str,
    typer.Option(
        help="Where the model is served: http://HOST:8000, https://HOST, HOST:8000, "
        "grpc://HOST:8001; without a port 80 or 443, an ingress's. A bearer token is taken from "
        "FT_SERVING_TOKEN."
    ),
]
ProtocolOption = Annotated[
    ProtocolName | None,
    typer.Option(help="By default the one that the address names; http, where it names none."),
]
ModelOption = Annotated[
    str | None, typer.Option(help=f"The model's name on the server; {MODEL_NAME} if not given.")
]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        help="A tokenizer.json, a folder that has it or vocab.json and merges.txt, or "
        "OWNER/NAME@REVISION on the model hub (HF_ENDPOINT, HF_TOKEN); "
        "by default that of the published GPT-J 6B."
    ),
]
HostHeaderOption = Annotated[
    str | None,
    typer.Option(help="Name that an ingress routes by, where --url has its address."),
]
CaFileOption = Annotated[
    Path | None, typer.Option(help="Certificates to trust instead of the system's (PEM).")
]
WaitOption = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds to wait for a model that is not ready; 600 if not given."),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Seconds that a request may take, a whole stream included; 300 if not given.",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """What these options say; see `GenerationClient` for each."""

    url: str
    protocol: ProtocolName | None
    model: str | None
    tokenizer: str | None
    host_header: str | None
    ca_file: Path | None
    wait: float | None
    timeout: float | None

    def open(self) -> "GenerationClient":
        """The client, with its own defaults for what is None."""
        # grpcio's core writes what goes wrong to stderr by itself; here it becomes a message.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        from ft_serving.client import GenerationClient, InferenceProtocol
        from ft_serving.client.client import COLD_START_S, TIMEOUT_S
        from ft_serving.client.tokenizer import DEFAULT_TOKENIZER

        return GenerationClient(
            self.url,
            protocol=InferenceProtocol(self.protocol) if self.protocol else None,
            model=self.model or MODEL_NAME,
            tokenizer=self.tokenizer or DEFAULT_TOKENIZER,
            host_header=self.host_header,
            ca_file=self.ca_file,
            wait_s=COLD_START_S if self.wait is None else self.wait,
            timeout_s=TIMEOUT_S if self.timeout is None else self.timeout,
            say=say,
        )


def say(message: str) -> None:
    """Tell the user what goes on, apart from the results."""
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()
