"""The Job that deletes old releases of weights."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.jobs import ANNOTATIONS, GATE_RESOURCES, Identity, JobPod, job_name, job_spec
from components.labels import labels
from components.storage import MOUNT
from stacks.config import StackConfig
from stacks.sections import AccessMode

_DEADLINE_S = 300
"""Deleting a release is deleting a few hundred files."""


@dataclass(frozen=True, kw_only=True)
class ReleaseCollectionArgs:
    """What is kept, and where.

    Attributes:
        config: The release that is served, and how many are kept.
        identity: Who the Job is.
        image: The weights image, by digest.
        claim: The claim of the volume.
        after: What must be done before: the test of the service, after which the release of the
            configuration, and no other, is the one that is served.
    """

    config: StackConfig
    identity: Identity
    image: pulumi.Input[str]
    claim: pulumi.Input[str]
    after: tuple[pulumi.Resource, ...] = ()


class ReleaseCollection(pulumi.ComponentResource):
    """Keeps the served release and the newest others; once for each change of release.

    A volume that one node alone can mount is left as it is: the server has it, and a Job that lands
    on another node would wait for it in vain.
    """

    def __init__(
        self, name: str, args: ReleaseCollectionArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:ReleaseCollection", name, None, opts)
        config = args.config
        if config.storage.access_mode is AccessMode.READ_WRITE_MANY:
            arguments = [
                "prune",
                f"--storage={MOUNT}",
                f"--keep={config.release.name}",
                f"--newest={config.storage.keep_releases - 1}",
            ]
            k8s.batch.v1.Job(
                name,
                metadata=k8s.meta.v1.ObjectMetaArgs(
                    name=job_name("release-collection", args.image, *arguments),
                    namespace=args.identity.namespace,
                    labels=labels("weights"),
                    annotations=ANNOTATIONS,
                ),
                spec=job_spec(
                    JobPod(
                        part="weights",
                        image=args.image,
                        arguments=arguments,
                        identity=args.identity,
                        hub=config.hub.endpoint,
                        resources=GATE_RESOURCES,
                        claim=args.claim,
                        mount=MOUNT,
                    ),
                    deadline_seconds=_DEADLINE_S,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=args.after),
            )
        self.register_outputs({})
