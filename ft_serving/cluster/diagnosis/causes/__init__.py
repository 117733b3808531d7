"""What keeps deployments from becoming ready: a function a topic, from a snapshot to findings.

Each looks at the state as it is; how long a finding may hold before it counts is `verdict.GRACE_S`.
"""

from collections.abc import Callable, Iterator

from ft_serving.cluster.diagnosis.causes.admission import refusals, refused_pods
from ft_serving.cluster.diagnosis.causes.containers import broken_containers, unstarted_containers
from ft_serving.cluster.diagnosis.causes.images import unpullable_images
from ft_serving.cluster.diagnosis.causes.jobs import failed_job, failed_jobs
from ft_serving.cluster.diagnosis.causes.rollout import failed_rollouts
from ft_serving.cluster.diagnosis.causes.scheduling import unschedulable_pods
from ft_serving.cluster.diagnosis.causes.volumes import failed_mounts, unbound_claims
from ft_serving.cluster.diagnosis.job_snapshot import JobSnapshot
from ft_serving.cluster.diagnosis.snapshot import Snapshot
from ft_serving.cluster.diagnosis.verdict import Finding

RULES: tuple[Callable[[Snapshot], Iterator[Finding]], ...] = (
    refusals,
    failed_jobs,
    unbound_claims,
    unschedulable_pods,
    failed_mounts,
    unpullable_images,
    broken_containers,
    failed_rollouts,
)

JOB_RULES: tuple[Callable[[JobSnapshot], Iterator[Finding]], ...] = (
    failed_job,
    refused_pods,
    unbound_claims,
    unschedulable_pods,
    failed_mounts,
    unpullable_images,
    unstarted_containers,
)
