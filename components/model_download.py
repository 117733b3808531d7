"""The Job that makes sure that a release of weights is on the volume."""

import hashlib
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.jobs import (
    ANNOTATIONS,
    GRACE_SECONDS,
    HubAccess,
    JobPod,
    job_spec,
)
from components.labels import labels
from components.storage import MOUNT
from ft_serving.release import ReleaseSpec
from stacks.resolved import ContainerResources


@dataclass(frozen=True, kw_only=True)
class ModelDownloadArgs:
    """Which release, and what it may take.

    Attributes:
        namespace: The Job's namespace.
        image: The weights image, by digest.
        claim: The claim of the volume.
        release: What decides the release.
        keep_checkpoint: Whether the download stays on the volume beside the release.
        hub: Where the checkpoint comes from.
        service_account: Who the Job is.
        resources: CPU and memory.
        retries: How often a failed attempt is followed by another, which goes on where it ended.
        deadline_seconds: How long all attempts may take together.
    """

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    claim: pulumi.Input[str]
    release: ReleaseSpec
    keep_checkpoint: bool
    hub: HubAccess
    service_account: pulumi.Input[str]
    resources: ContainerResources
    retries: int
    deadline_seconds: int


class ModelDownload(pulumi.ComponentResource):
    """Downloads, verifies and converts a checkpoint; nothing to do is done in seconds.

    A release that is being served is never touched: another one is made beside it.

    Attributes:
        job: The Job's name. When it is known, the release is valid and on the volume.
    """

    job: pulumi.Output[str]

    def __init__(
        self, name: str, args: ModelDownloadArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:ModelDownload", name, None, opts)
        release = args.release.name
        job = k8s.batch.v1.Job(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                # A release's own name can be too long for a Job's, which is a label of its pods.
                name=f"model-download-{hashlib.sha256(release.encode()).hexdigest()[:12]}",
                namespace=args.namespace,
                labels=labels("weights"),
                annotations={**ANNOTATIONS, "ft-serving.dev/release": release},
            ),
            spec=job_spec(
                JobPod(
                    part="weights",
                    image=args.image,
                    arguments=_arguments(args),
                    service_account=args.service_account,
                    hub=args.hub,
                    resources=args.resources,
                    claim=args.claim,
                    mount=MOUNT,
                ),
                retries=args.retries,
                deadline_seconds=args.deadline_seconds,
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=pulumi.CustomTimeouts(
                    create=f"{args.deadline_seconds + GRACE_SECONDS}s",
                    update=f"{args.deadline_seconds + GRACE_SECONDS}s",
                ),
            ),
        )
        self.job = job.metadata.apply(lambda metadata: str(metadata.name))
        self.register_outputs({"job": self.job})


def _arguments(args: ModelDownloadArgs) -> list[str]:
    """The arguments of `ft-serving weights`."""
    spec = args.release
    return [
        "prepare",
        f"--repository={spec.repository}",
        f"--revision={spec.revision}",
        f"--storage={MOUNT}",
        f"--dtype={spec.dtype}",
        f"--compute-dtype={spec.compute_dtype}",
        f"--tensor-parallel={spec.tensor_parallel}",
        f"--pipeline-parallel={spec.pipeline_parallel}",
        *(["--streaming"] if spec.streaming else []),
        *([] if args.keep_checkpoint else ["--drop-source"]),
    ]
