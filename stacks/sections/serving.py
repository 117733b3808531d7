"""The sections of the GPUs, the replicas and the server."""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from ft_serving.core.protocol import InferenceProtocol
from stacks.engines import ENGINES
from stacks.gpus import GPUS, NONE, Gpu
from stacks.quantities import CPU_PATTERN
from stacks.sections.base import FLAG, SIZE, Section, named, one_of, setting, whole


class GpuSettings(Section):
    """The hardware to serve on."""

    type: str = setting(
        "A GPU of the catalogue; `none` serves on the CPU.", default=NONE, **named([*GPUS, NONE])
    )
    tensor_parallel: int = setting("GPUs that share each layer.", default=1, **whole(1, 64))
    pipeline_parallel: int = setting(
        "Groups of GPUs that share the layers.", default=1, **whole(1, 64)
    )

    @property
    def model(self) -> Gpu | None:
        """The catalogue's entry; none where the CPU serves."""
        return GPUS.get(self.type)

    @property
    def count(self) -> int:
        """GPUs of one replica: the backend refuses more, and others that it cannot divide."""
        return self.tensor_parallel * self.pipeline_parallel if self.model else 0


class ScaleMetric(StrEnum):
    """The metric that the number of replicas follows."""

    CONCURRENCY = "concurrency"
    RPS = "rps"
    CPU = "cpu"
    MEMORY = "memory"


class Replicas(Section):
    """The number of servers."""

    min: int = setting(
        "Fewest replicas; 0 ends the last one when nobody asks.", default=1, **whole(0, 1000)
    )
    max: int = setting("Most replicas.", default=1, **whole(1, 1000))
    scale_metric: ScaleMetric | None = setting(
        "What decides between them: concurrency or rps in mode Serverless, cpu or memory in "
        "Standard. By default the first of the two.",
        default=None,
        **one_of(ScaleMetric),
    )
    scale_target: int | None = setting(
        "The metric's value that one replica is to have: requests at once, requests a second, or "
        "percent. By default containerConcurrency, 1, or 80.",
        default=None,
        **whole(1, 100_000),
    )
    container_concurrency: int | None = setting(
        "Requests that a replica gets at once, in mode Serverless; by default serving.batch.",
        default=None,
        **whole(1, 1024),
    )


class Mode(StrEnum):
    """KServe's deployment mode: Knative, or a Deployment."""

    SERVERLESS = "Serverless"
    STANDARD = "Standard"


class Serving(Section):
    """The server, and the load that its memory is sized for."""

    engine: str | None = setting(
        "What computes in the server (docs/configuration.md#engines); by default the first that "
        "can serve on gpu.type.",
        default=None,
        **named(ENGINES),
    )
    batch: int = setting(
        "Rows computed together: requests times their beams.", default=8, **whole(1, 1024)
    )
    input_length: int = setting(
        "Tokens of the longest prompts; longer ones are refused.", default=1024, **whole(1, 1 << 20)
    )
    output_length: int = setting(
        "Tokens of the longest answers; a request for more is refused.",
        default=256,
        **whole(1, 1 << 20),
    )
    streaming: bool = setting("Send a response a token.", default=False, **FLAG)
    protocol: InferenceProtocol = setting(
        "Protocol of the service: of its one port.",
        default=InferenceProtocol.HTTP,
        **one_of(InferenceProtocol),
    )
    public: bool = setting(
        "Have the cluster's ingress lead to it; otherwise it is reached from within the cluster "
        "only, as by a proxy that asks for a token.",
        default=True,
        **FLAG,
    )
    mode: Mode = setting("KServe's deployment mode.", default=Mode.SERVERLESS, **one_of(Mode))
    openai: bool = setting(
        "Serve the OpenAI API at /v1, in front of the model (docs/openai.md). The model's own "
        "protocol stays at the same address, at /v2.",
        default=False,
        **FLAG,
    )
    chat_template: str | None = setting(
        "Jinja template that makes a prompt of a conversation, for /v1/chat/completions; without "
        "one there is no chat.",
        default=None,
        must="be a text of 1 to 100000 characters",
        use="the chat_template of the model's tokenizer_config.json",
        min_length=1,
        max_length=100_000,
    )


def _as_text(value: object) -> object:
    return str(value) if type(value) is int else value


Cores = Annotated[
    str,
    Field(pattern=CPU_PATTERN),
    # People and `pulumi config set` write whole cores as a number.
    BeforeValidator(_as_text),
    WithJsonSchema({"type": ["string", "integer"], "pattern": CPU_PATTERN, "minimum": 1}),
]
"""A quantity of CPU cores, in the form that Kubernetes gives back."""


class Resources(Section):
    """The limits of the server's container; sized by the model where left out."""

    cpu: Cores | None = setting(
        "CPU cores.", default=None, must="be CPU cores such as 4 or 500m", use="4, or leave it out"
    )
    memory: str | None = setting("Main memory.", default=None, use="8Gi, or leave it out", **SIZE)


class ColdStart(Section):
    """The one budget that all timeouts come from."""

    budget_seconds: int = setting(
        "Seconds from a pod's creation to READY: image pull, loading the model.",
        default=600,
        **whole(30, 7200),
    )
