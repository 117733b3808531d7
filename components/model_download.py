"""The Job that prepares a release of weights, and the gate that waits for it."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import NOT_AWAITED, name_of
from components.jobs import GRACE_SECONDS, JobArgs, make_job
from components.pods import PodIdentity
from components.storage import MOUNT
from ft_serving.cluster.job_labels import JobRole, release_annotations
from ft_serving.core.release import ReleaseSpec
from stacks.config import StackConfig


@dataclass(frozen=True, kw_only=True)
class ModelDownloadArgs:
    """The release, and where it is prepared.

    Attributes:
        config: The release, the hub, and the Job's limits.
        identity: The Job's.
        image: The weights image, by digest.
        claim: The claim of the volume.
        gate_identity: The gate's; it may read the namespace.
        gate_image: The client's image, by digest.
    """

    config: StackConfig
    identity: PodIdentity
    image: pulumi.Input[str]
    claim: pulumi.Input[str]
    gate_identity: PodIdentity
    gate_image: pulumi.Input[str]


class ModelDownload(pulumi.ComponentResource):
    """Downloads, verifies and converts a checkpoint; a release that is there is only verified.

    A release that is being served is never touched: another one is made beside it.

    Pulumi does not wait for the Job: of a pod that cannot start, Pulumi would say that it is not
    ready, at the end of a timeout, and not why. The gate waits, and says why within seconds.

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
        download = JobArgs(
            role=JobRole.DOWNLOAD,
            part="weights",
            decided_by=[config.hub.endpoint, deadline, *arguments],
            identity=args.identity,
            image=args.image,
            arguments=arguments,
            config=config,
            resources=config.job_resources,
            claim=args.claim,
            deadline_s=deadline,
            # A pod's download stays on the volume, and the next pod goes on from there.
            retries=3,
            metadata={"annotations": {**NOT_AWAITED, **_release_annotations(config)}},
        )
        # Deleted first where a user has damaged weights made again (`--replace`): a Job of the same
        # name that is still there would be left as it is.
        opts = pulumi.ResourceOptions(parent=self, delete_before_replace=True)
        job = make_job(name, download, opts)
        gate = self._gate(f"{name}-gate", job, args)
        self.job = pulumi.Output.all(name_of(job), gate.id).apply(lambda known: str(known[0]))
        self.register_outputs({"job": self.job})

    def _gate(self, name: str, job: k8s.batch.v1.Job, args: ModelDownloadArgs) -> k8s.batch.v1.Job:
        """Make the Job that waits for another one, anew with that."""
        patience = args.config.job_deadline_s + GRACE_SECONDS
        uid = job.metadata.apply(lambda metadata: str(metadata.uid))
        # A gate that a killed `up` made is in no state: it goes with its download.
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name_of(job), "uid": uid}
        gate = JobArgs(
            role=JobRole.DOWNLOAD_GATE,
            part="gate",
            # By the uid: a download that is made anew is waited for anew.
            decided_by=[patience, uid],
            identity=args.gate_identity,
            with_token=True,
            image=args.gate_image,
            command=["ft-serving", "gate-job"],
            arguments=[
                pulumi.Output.concat("--job=", name_of(job)),
                pulumi.Output.concat("--namespace=", args.gate_identity.namespace),
                f"--timeout={patience}",
            ],
            config=args.config,
            deadline_s=patience + GRACE_SECONDS,
            metadata={"ownerReferences": [owner]},
        )
        timeouts = pulumi.CustomTimeouts(create=f"{patience + 2 * GRACE_SECONDS}s")
        opts = pulumi.ResourceOptions(parent=self, custom_timeouts=timeouts)
        return make_job(name, gate, opts)


def _release_annotations(config: StackConfig) -> dict[str, str]:
    """Return the annotations from which `diagnose` describes a release, and how it is served."""
    return release_annotations(
        config.release,
        computed_in=config.model.computed_in,
        tensor_parallel=config.gpu.tensor_parallel,
        pipeline_parallel=config.gpu.pipeline_parallel,
    )


def _arguments(spec: ReleaseSpec) -> list[str]:
    """Return the arguments of `ft-serving weights`."""
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
