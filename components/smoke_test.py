"""The question that ends a deployment."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.jobs import (
    ANNOTATIONS,
    HubAccess,
    JobPod,
    job_spec,
)
from components.kserve_object import InferenceServiceObject
from components.labels import labels
from stacks.resolved import ContainerResources
from stacks.sections import Golden
from stacks.timeouts import Timeouts

_RESOURCES = ContainerResources(cpu="1", memory="512Mi", gpus=0, shared_memory=None)


@dataclass(frozen=True, kw_only=True)
class SmokeTestArgs:
    """What is asked, of which service.

    Attributes:
        namespace: The service's namespace.
        image: The client's image, by digest.
        service: The InferenceService's `id`.
        service_state: Its `state`: another one is another test.
        service_account: Who asks; may read the namespace.
        hub: Where the tokenizer is.
        question: What is asked, and what the answer must be.
        tokenizer: The tokenizer, as OWNER/NAME@REVISION.
        timeouts: All from one budget.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    service: pulumi.Input[str]
    service_state: pulumi.Input[str]
    service_account: pulumi.Input[str]
    hub: HubAccess
    question: Golden
    tokenizer: str
    timeouts: Timeouts


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
        job = k8s.batch.v1.Job(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=pulumi.Output.concat("smoke-test-", args.service_state),
                namespace=args.namespace,
                labels=labels("gate"),
                annotations=ANNOTATIONS,
            ),
            spec=job_spec(
                JobPod(
                    part="gate",
                    image=args.image,
                    command=["ft-serving", "gate"],
                    arguments=[
                        pulumi.Output.concat("--inference-service=", service),
                        pulumi.Output.concat("--namespace=", args.namespace),
                        f"--timeout={args.timeouts.gate}",
                        f"--tokenizer={args.tokenizer}",
                        *_question(args.question),
                    ],
                    service_account=args.service_account,
                    with_token=True,
                    hub=args.hub,
                    resources=_RESOURCES,
                ),
                # Its answer is the same the second time.
                retries=0,
                deadline_seconds=args.timeouts.gate_job,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{args.timeouts.gate_job}s"),
            ),
        )
        # Read again after the Job: nothing waited for the service when it was made.
        answered = InferenceServiceObject(
            f"{name}-service",
            opts=pulumi.ResourceOptions(
                parent=self,
                id=pulumi.Output.all(args.service, job.id).apply(lambda ids: str(ids[0])),
            ),
        )
        self.url = answered.status.apply(lambda status: str(status["url"]))
        self.register_outputs({"url": self.url})


def _question(golden: Golden) -> list[str]:
    """The options of `ft-serving gate` that say what to ask and what to expect."""
    ids = golden.expected_token_ids
    return [
        f"--prompt={golden.prompt}",
        f"--output-length={golden.output_length}",
        *([f"--expect-token-ids={','.join(map(str, ids))}"] if ids is not None else []),
        *(f"--expect-words={word}" for word in golden.expected_words or ()),
    ]
