"""The question that ends a deployment, and the command by which a user asks it."""

import shlex
from dataclasses import dataclass
from urllib.parse import urlsplit

import pulumi

from components.jobs import GRACE_SECONDS, JobArgs, make_job
from components.kserve_object import InferenceServiceObject
from components.pods import PodIdentity
from ft_serving.cluster.job_labels import SERVICE, JobRole
from ft_serving.core.protocol import InferenceProtocol
from stacks.config import StackConfig
from stacks.sections import Golden


@dataclass(frozen=True, kw_only=True)
class SmokeTestArgs:
    """A question, and the service to ask.

    Attributes:
        config: The question, the right answer, and how long it may take.
        identity: The Job's; it may read the namespace.
        image: The client's image, by digest.
        service: The InferenceService's `id`.
        state: Its `state`: another one is another test.
    """

    config: StackConfig
    identity: PodIdentity
    image: pulumi.Input[str]
    service: pulumi.Input[str]
    state: pulumi.Input[str]


class SmokeTest(pulumi.ComponentResource):
    """A Job that waits for the service, says why it does not come, and checks its answer.

    Attributes:
        url: The address that the service has, known once it has answered.
    """

    url: pulumi.Output[str]

    def __init__(
        self, name: str, args: SmokeTestArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:SmokeTest", name, None, opts)
        service = pulumi.Output.from_input(args.service).apply(lambda it: it.rpartition("/")[2])
        timeouts = args.config.timeouts
        arguments = [
            f"--timeout={timeouts.gate}",
            f"--protocol={args.config.serving.protocol.value}",
            f"--tokenizer={args.config.tokenizer_source}",
            *_openai(args.config),
            *_question(args.config.golden_question),
        ]
        test = JobArgs(
            role=JobRole.SMOKE_TEST,
            part="gate",
            decided_by=[args.state, *arguments],
            identity=args.identity,
            with_token=True,
            image=args.image,
            command=["ft-serving", "gate"],
            arguments=[
                pulumi.Output.concat("--inference-service=", service),
                pulumi.Output.concat("--namespace=", args.identity.namespace),
                *arguments,
            ],
            config=args.config,
            deadline_s=timeouts.gate + GRACE_SECONDS,
            metadata={"labels": {SERVICE: service}},
        )
        patience = pulumi.CustomTimeouts(create=f"{timeouts.gate_job}s")
        job = make_job(name, test, pulumi.ResourceOptions(parent=self, custom_timeouts=patience))
        # Read again after the Job: nothing waited for the service when it was made.
        answered = InferenceServiceObject(
            f"{name}-service",
            opts=pulumi.ResourceOptions(
                parent=self,
                id=pulumi.Output.all(args.service, job.id).apply(lambda ids: str(ids[0])),
            ),
        )
        # KServe's status names the public URL for a while after the service has become private.
        public = args.config.serving.public
        self.url = answered.status.apply(
            lambda status: str(status["url"] if public else status["address"]["url"])
        )
        self.register_outputs({"url": self.url})


def _question(golden: Golden) -> list[str]:
    """Return the options of `ft-serving gate` with the question and the right answer."""
    ids = golden.expected_token_ids
    return [
        f"--prompt={golden.prompt}",
        f"--output-length={golden.output_length}",
        *([f"--expect-token-ids={','.join(map(str, ids))}"] if ids is not None else []),
        *(f"--expect-words={word}" for word in golden.expected_words or ()),
    ]


def _openai(config: StackConfig) -> list[str]:
    """Return the option of `ft-serving gate` that has it ask the OpenAI API, too."""
    return [f"--openai-model={config.model.repository}"] if config.serving.openai else []


def openai_address(url: str, config: StackConfig) -> str | None:
    """Return the OpenAI API's address, as its clients' `base_url`; None where there is no API.

    Args:
        url: The service's address.
        config: The stack's configuration.
    """
    return f"{address(url, config)}/v1" if config.serving.openai else None


def address(url: str, config: StackConfig) -> str:
    """Return the address that requests go to: the ingress's, if its own name does not lead there.

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
    if config.serving.protocol is InferenceProtocol.GRPC:
        words += ["--protocol", "grpc"]
    words += ["--wait", str(config.timeouts.client)]
    words += ["--tokenizer", config.tokenizer_source, "--prompt", config.golden_question.prompt]
    return shlex.join(words)


def _ingress(config: StackConfig) -> str | None:
    """Return the ingress's address where the service is reached by it, else None."""
    return config.cluster.ingress_address if config.serving.public else None
