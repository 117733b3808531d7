"""The Job that deletes old releases of weights."""

from dataclasses import dataclass

import pulumi

from components.jobs import JobArgs, make_job
from components.model_download import ModelDownloadArgs
from components.storage import MOUNT
from ft_serving.cluster.job_labels import JobRole
from stacks.sections import AccessMode


@dataclass(frozen=True, kw_only=True)
class ReleaseCollectionArgs:
    """The releases to keep, and their volume.

    Attributes:
        download: The download that prepared the served release; its configuration says how many
            releases are kept.
        after: The test of the service, after which the configuration's release is the served one.
    """

    download: ModelDownloadArgs
    after: tuple[pulumi.Resource, ...] = ()


class ReleaseCollection(pulumi.ComponentResource):
    """Keeps the served release and the newest others; runs once for each change of release.

    A volume that only one node can mount is left as it is: the server has it, and a Job that lands
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
            job = JobArgs(
                role=JobRole.COLLECTION,
                part="weights",
                decided_by=arguments,
                identity=download.identity,
                image=download.image,
                arguments=arguments,
                config=config,
                claim=download.claim,
                # Deleting a release is deleting a few hundred files.
                deadline_s=300,
            )
            make_job(name, job, pulumi.ResourceOptions(parent=self, depends_on=args.after))
        self.register_outputs({})
