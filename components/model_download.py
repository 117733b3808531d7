"""The Job that makes sure that a release of weights is on the volume, and one that says why not."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import labels
from components.jobs import (
    ANNOTATIONS,
    GATE_RESOURCES,
    GRACE_SECONDS,
    NOT_AWAITED,
    JobPod,
    PodIdentity,
    job_name,
    job_spec,
)
from components.storage import MOUNT
from ft_serving.cluster.job_labels import JobRole, release_annotations
from ft_serving.core.release import ReleaseSpec
from stacks.config import StackConfig

_RETRIES = 3
"""What a pod has downloaded stays on the volume, so that the next one goes on from there."""


@dataclass(frozen=True, kw_only=True)
class ModelDownloadArgs:
    """Which release, and where.

    Attributes:
        config: The release, the hub, and what the Job may take.
        identity: Who the Job is.
        image: The weights image, by digest.
        claim: The claim of the volume.
        gate_identity: Who waits for the Job; may read the namespace.
        gate_image: The client's image, by digest.
    """

    config: StackConfig
    identity: PodIdentity
    image: pulumi.Input[str]
    claim: pulumi.Input[str]
    gate_identity: PodIdentity
    gate_image: pulumi.Input[str]


class ModelDownload(pulumi.ComponentResource):
    """Downloads, verifies and converts a checkpoint; nothing to do is done in seconds.

    A release that is being served is never touched: another one is made beside it.

    Pulumi does not wait for the Job: of a pod that cannot start it would say that it is not ready,
    at the end of a timeout, and not why. A second Job waits, and says why within seconds.

    Attributes:
        job: The Job's name. When it is known, the release is valid and on the volume.
    """

    job: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelDownloadArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:ModelDownload", name, None, opts)
        config = args.config
        deadline = config.job_deadline_s
        arguments = _arguments(config.release)
        job = k8s.batch.v1.Job(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=job_name(
                    "model-download", args.image, config.hub.endpoint, deadline, *arguments
                ),
                namespace=args.identity.namespace,
                labels=labels(JobRole.DOWNLOAD.label),
                annotations={**ANNOTATIONS, **NOT_AWAITED, **_told(config)},
            ),
            spec=job_spec(
                JobPod(
                    part="weights",
                    image=args.image,
                    arguments=arguments,
                    identity=args.identity,
                    config=config,
                    resources=config.job_resources,
                    claim=args.claim,
                    mount=MOUNT,
                ),
                deadline_seconds=deadline,
                retries=_RETRIES,
            ),
            # Also where a user has it done again (`--replace`), for weights that were damaged: one
            # of its name that is there would be left as it is.
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        gate = self._gate(f"{name}-gate", job, args)
        made = job.metadata.apply(lambda metadata: str(metadata.name))
        self.job = pulumi.Output.all(made, gate.id).apply(lambda known: str(known[0]))
        self.register_outputs({"job": self.job})

    def _gate(self, name: str, job: k8s.batch.v1.Job, args: ModelDownloadArgs) -> k8s.batch.v1.Job:
        """The Job that waits for another one, made anew with it."""
        patience = args.config.job_deadline_s + GRACE_SECONDS
        return k8s.batch.v1.Job(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                # By the uid: a download that is made anew is waited for anew.
                name=job_name(
                    "model-download-gate",
                    args.gate_image,
                    patience,
                    job.metadata.apply(lambda metadata: str(metadata.uid)),
                ),
                namespace=args.gate_identity.namespace,
                labels=labels(JobRole.DOWNLOAD_GATE.label),
                annotations=ANNOTATIONS,
                # One that an `up` made which was killed is in no state: it goes with its download.
                owner_references=[
                    k8s.meta.v1.OwnerReferenceArgs(
                        api_version="batch/v1",
                        kind="Job",
                        name=job.metadata.apply(lambda metadata: str(metadata.name)),
                        uid=job.metadata.apply(lambda metadata: str(metadata.uid)),
                    )
                ],
            ),
            spec=job_spec(
                JobPod(
                    part="gate",
                    image=args.gate_image,
                    command=["ft-serving", "gate-job"],
                    arguments=[
                        job.metadata.apply(lambda metadata: f"--job={metadata.name}"),
                        pulumi.Output.concat("--namespace=", args.gate_identity.namespace),
                        f"--timeout={patience}",
                    ],
                    identity=args.gate_identity,
                    with_token=True,
                    config=args.config,
                    resources=GATE_RESOURCES,
                ),
                deadline_seconds=patience + GRACE_SECONDS,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(create=f"{patience + 2 * GRACE_SECONDS}s"),
            ),
        )


def _told(config: StackConfig) -> dict[str, str]:
    """What diagnosis tells of a release: also how this stack serves one that any number can."""
    return release_annotations(
        config.release,
        computed_in=config.model.computed_in,
        tensor_parallel=config.gpu.tensor_parallel,
        pipeline_parallel=config.gpu.pipeline_parallel,
    )


def _arguments(spec: ReleaseSpec) -> list[str]:
    """The arguments of `ft-serving weights`."""
    parallel = [
        f"--tensor-parallel={spec.tensor_parallel}",
        f"--pipeline-parallel={spec.pipeline_parallel}",
    ]
    return [
        "prepare",
        f"--repository={spec.repository}",
        f"--revision={spec.revision}",
        f"--storage={MOUNT}",
        f"--format={spec.format}",
        f"--dtype={spec.dtype}",
        f"--compute-dtype={spec.compute_dtype}",
        *(parallel if spec.format.is_divided else []),
        f"--input-length={spec.input_length}",
        f"--output-length={spec.output_length}",
        # The volume is sized for one download, and the next revision has its own.
        "--drop-source",
        *(["--streaming"] if spec.streaming else []),
    ]
