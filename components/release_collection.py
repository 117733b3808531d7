"""The Job that deletes old releases of weights."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import labels
from components.jobs import ANNOTATIONS, GATE_RESOURCES, JobPod, job_name, job_spec
from components.model_download import ModelDownloadArgs
from components.storage import MOUNT
from ft_serving.cluster.job_labels import JobRole
from stacks.sections import AccessMode

_DEADLINE_S = 300
"""Deleting a release is deleting a few hundred files."""


@dataclass(frozen=True, kw_only=True)
class ReleaseCollectionArgs:
    """What is kept, and where.

    Attributes:
        download: What prepared the release that is served; of its configuration also how many are
            kept.
        after: What must be done before: the test of the service, after which the release of the
            configuration, and no other, is the one that is served.
    """

    download: ModelDownloadArgs
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
        download, config = args.download, args.download.config
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
                    name=job_name("release-collection", download.image, *arguments),
                    namespace=download.identity.namespace,
                    labels=labels(JobRole.COLLECTION.label),
                    annotations=ANNOTATIONS,
                ),
                spec=job_spec(
                    JobPod(
                        part="weights",
                        image=download.image,
                        arguments=arguments,
                        identity=download.identity,
                        config=config,
                        resources=GATE_RESOURCES,
                        claim=download.claim,
                        mount=MOUNT,
                    ),
                    deadline_seconds=_DEADLINE_S,
                ),
                opts=pulumi.ResourceOptions(parent=self, depends_on=args.after),
            )
        self.register_outputs({})
