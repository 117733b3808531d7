"""Renders the Jobs of a stack: one restricted pod, a deadline, and a reason when the Job fails."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import OWNED, PART, labels
from stacks.config import StackConfig
from stacks.gpus import NodeRequirement
from stacks.resolved import ContainerResources
from stacks.sections import AccessMode

USER = 1000
"""User and group of the images' processes (docs/images.md)."""

ANNOTATIONS = {**OWNED, "pulumi.com/replaceUnready": "true"}
"""A Job that failed runs again at the next `up`, although nothing about it changed, because the
cause (a hub that was down) is outside the stack."""

NOT_AWAITED = {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
"""For what a gate waits for instead of Pulumi: ready once it exists. Its deletion is waited for, as
`skipAwait` would not have it, before another of its name is made."""

RESERVED_CPU = "100m"
"""Jobs take the cores that are idle: a reservation of all that they can use would keep them from
starting beside a server."""

FINAL_EXIT_CODES = [1, 2]
"""An error with a message, and wrong usage: the commands themselves repeat what may pass, so that a
second pod would only say the same later."""

GATE_RESOURCES = ContainerResources(cpu="1", memory="512Mi", gpus=0, shared_memory=None)
"""Of the Jobs that only wait, look and ask."""

GRACE_SECONDS = 60
"""Between the end of a command's patience, its Job's and Pulumi's: the one that knows most is to
speak first."""


@dataclass(frozen=True, kw_only=True)
class PodIdentity:
    """Who a pod is.

    Attributes:
        namespace: Its namespace.
        account: Its service account.
        hub_secret: The Secret whose key "token" is for the model hub; None where none is needed.
    """

    namespace: pulumi.Input[str]
    account: pulumi.Input[str]
    hub_secret: pulumi.Input[str] | None = None


@dataclass(frozen=True, kw_only=True)
class JobPod:
    """A Job's pod.

    Attributes:
        part: Its part of the stack, for labels.
        image: The image, by digest.
        command: What is run instead of the image's entry point; the entry point, if empty.
        arguments: Its arguments.
        identity: Who it is.
        with_token: Whether it gets its service account's token.
        config: The model hub's address, and the nodes to run on.
        resources: CPU and memory at most; memory is reserved.
        claim: A claim to mount, writable.
        mount: Where that is mounted.
    """

    part: str
    image: pulumi.Input[str]
    command: Sequence[str] = ()
    arguments: Sequence[pulumi.Input[str]] = ()
    identity: PodIdentity
    with_token: bool = False
    config: StackConfig
    resources: ContainerResources
    claim: pulumi.Input[str] | None = None
    mount: str = ""


def job_name(prefix: str, *decided_by: pulumi.Input[str | int]) -> pulumi.Output[str]:
    """Return a name that is another one with whatever decides a Job.

    A Job cannot be changed. Under a fixed name one that the stack's state does not know, because
    an `up` was killed or the state was lost, would be in the way of the one that is wanted.
    """
    return pulumi.Output.all(*decided_by).apply(
        lambda parts: f"{prefix}-{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]}"
    )


def job_spec(pod: JobPod, *, deadline_seconds: int, retries: int = 0) -> k8s.batch.v1.JobSpecArgs:
    """Return the spec of a Job that runs a pod.

    A pod that its node's loss or an eviction ended runs again and is not counted.

    Args:
        pod: The pod.
        deadline_seconds: When the Job fails, whatever it is doing; waiting to start counts.
        retries: How often a pod runs again that ended without a final exit code, because its
            memory ran out, for example. A Job that Pulumi waits for must have 0: Pulumi ends its
            wait on the reasons BackoffLimitExceeded and DeadlineExceeded only, and a rule that
            fails the Job has another reason.
    """
    rules = [
        k8s.batch.v1.PodFailurePolicyRuleArgs(
            action="Ignore",
            on_pod_conditions=[
                k8s.batch.v1.PodFailurePolicyOnPodConditionsPatternArgs(
                    type="DisruptionTarget", status="True"
                )
            ],
        )
    ]
    if retries:
        rules.append(
            k8s.batch.v1.PodFailurePolicyRuleArgs(
                action="FailJob",
                on_exit_codes=k8s.batch.v1.PodFailurePolicyOnExitCodesRequirementArgs(
                    container_name=pod.part, operator="In", values=FINAL_EXIT_CODES
                ),
            )
        )
    return k8s.batch.v1.JobSpecArgs(
        backoff_limit=retries,
        pod_failure_policy=k8s.batch.v1.PodFailurePolicyArgs(rules=rules),
        active_deadline_seconds=deadline_seconds,
        template=k8s.core.v1.PodTemplateSpecArgs(
            metadata=k8s.meta.v1.ObjectMetaArgs(labels=labels(pod.part)), spec=_pod_spec(pod)
        ),
    )


def _pod_spec(pod: JobPod) -> k8s.core.v1.PodSpecArgs:
    # HOME is /tmp in the images, whose root is read-only.
    volumes = [k8s.core.v1.VolumeArgs(name="tmp", empty_dir=k8s.core.v1.EmptyDirVolumeSourceArgs())]
    mounts = [k8s.core.v1.VolumeMountArgs(name="tmp", mount_path="/tmp")]  # noqa: S108 (the container's own)
    if pod.claim is not None:
        source = k8s.core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=pod.claim)
        volumes.append(k8s.core.v1.VolumeArgs(name="models", persistent_volume_claim=source))
        mounts.append(k8s.core.v1.VolumeMountArgs(name="models", mount_path=pod.mount))
    limits = {"cpu": pod.resources.cpu, "memory": pod.resources.memory}
    return k8s.core.v1.PodSpecArgs(
        restart_policy="Never",
        service_account_name=pod.identity.account,
        automount_service_account_token=pod.with_token,
        enable_service_links=False,
        security_context=k8s.core.v1.PodSecurityContextArgs(
            run_as_non_root=True,
            run_as_user=USER,
            run_as_group=USER,
            fs_group=USER,
            # Not at every start through a volume of hundreds of files.
            fs_group_change_policy="OnRootMismatch",
            seccomp_profile=k8s.core.v1.SeccompProfileArgs(type="RuntimeDefault"),
        ),
        containers=[
            k8s.core.v1.ContainerArgs(
                name=pod.part,
                image=pod.image,
                command=list(pod.command) or None,
                args=list(pod.arguments),
                env=_environment(pod),
                resources=k8s.core.v1.ResourceRequirementsArgs(
                    requests={**limits, "cpu": RESERVED_CPU}, limits=limits
                ),
                security_context=k8s.core.v1.SecurityContextArgs(
                    allow_privilege_escalation=False,
                    read_only_root_filesystem=True,
                    capabilities=k8s.core.v1.CapabilitiesArgs(drop=["ALL"]),
                ),
                # The last lines of the log are the command's one error message.
                termination_message_policy="FallbackToLogsOnError",
                volume_mounts=mounts,
            )
        ],
        volumes=volumes,
        affinity=_affinity(pod),
        tolerations=[
            k8s.core.v1.TolerationArgs(**it.model_dump(mode="json", exclude_none=True))
            for it in pod.config.scheduling.tolerations
        ]
        or None,
    )


def _affinity(pod: JobPod) -> k8s.core.v1.AffinityArgs | None:
    """Keep to the stack's region, and to the server's node where no other can mount the volume."""
    requirements = pod.config.region_requirements
    one_node = pod.config.storage.access_mode is AccessMode.READ_WRITE_ONCE
    node_affinity = _nodes(requirements) if requirements else None
    pod_affinity = _beside("server") if one_node and pod.claim is not None else None
    if not node_affinity and not pod_affinity:
        return None
    return k8s.core.v1.AffinityArgs(node_affinity=node_affinity, pod_affinity=pod_affinity)


def _nodes(requirements: Sequence[NodeRequirement]) -> k8s.core.v1.NodeAffinityArgs:
    expressions = [
        k8s.core.v1.NodeSelectorRequirementArgs(key=it.key, operator="In", values=list(it.values))
        for it in requirements
    ]
    term = k8s.core.v1.NodeSelectorTermArgs(match_expressions=expressions)
    return k8s.core.v1.NodeAffinityArgs(
        required_during_scheduling_ignored_during_execution=k8s.core.v1.NodeSelectorArgs(
            node_selector_terms=[term]
        )
    )


def _beside(part: str) -> k8s.core.v1.PodAffinityArgs:
    """The node of another part, if that runs; a first download has none to be beside."""
    term = k8s.core.v1.PodAffinityTermArgs(
        label_selector=k8s.meta.v1.LabelSelectorArgs(match_labels={PART: part}),
        topology_key="kubernetes.io/hostname",
    )
    return k8s.core.v1.PodAffinityArgs(
        preferred_during_scheduling_ignored_during_execution=[
            k8s.core.v1.WeightedPodAffinityTermArgs(weight=100, pod_affinity_term=term)
        ]
    )


def _environment(pod: JobPod) -> list[k8s.core.v1.EnvVarArgs]:
    variables = [k8s.core.v1.EnvVarArgs(name="HF_ENDPOINT", value=pod.config.hub.endpoint)]
    if pod.identity.hub_secret is not None:
        token = k8s.core.v1.SecretKeySelectorArgs(name=pod.identity.hub_secret, key="token")
        source = k8s.core.v1.EnvVarSourceArgs(secret_key_ref=token)
        variables.append(k8s.core.v1.EnvVarArgs(name="HF_TOKEN", value_from=source))
    return variables
