"""Makes the Jobs of a stack: one restricted pod, a deadline, and a reason when the Job fails."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import OWNED, PART, labels
from components.pods import (
    TMP,
    Document,
    PodIdentity,
    node_affinity,
    pod_security,
    restricted,
    tolerations,
)
from components.storage import MOUNT
from ft_serving.cluster.job_labels import JobRole
from stacks.config import StackConfig
from stacks.resolved import ContainerResources
from stacks.sections import AccessMode

RESERVED_CPU = "100m"
"""Jobs take the cores that are idle: a reservation of all that they can use would keep them from
starting beside a server."""

GATE_RESOURCES = ContainerResources(cpu="1", memory="512Mi", gpus=0, shared_memory=None)
"""Of the Jobs that only wait, look and ask."""

GRACE_SECONDS = 60
"""Between the end of a command's patience, its Job's and Pulumi's: the one that knows most is to
speak first."""

_RERUN = {"pulumi.com/replaceUnready": "true"}
"""A Job that failed runs again at the next `up`, although nothing about it changed, because the
cause (a hub that was down) is outside the stack."""

_FINAL_EXIT_CODES = [1, 2]
"""An error with a message, and wrong usage: the commands themselves repeat what may pass, so that a
second pod would only say the same later."""


@dataclass(frozen=True, kw_only=True)
class JobArgs:
    """A Job of one pod.

    Attributes:
        role: The Job's; its name begins with it, and diagnosis finds it by it.
        part: The pod's part of the stack, for labels.
        decided_by: The values that make it another Job, beside its image.
        identity: Who the pod is.
        with_token: Whether the pod gets its service account's token.
        image: The image, by digest.
        command: What is run instead of the image's entry point; the entry point, if empty.
        arguments: The arguments of either.
        config: The model hub's address, and the nodes to run on.
        resources: CPU and memory at most; memory is reserved.
        claim: The claim of the volume to mount, writable.
        deadline_s: When the Job fails, whatever it is doing; waiting to start counts.
        retries: How often a pod runs again that ended without a final exit code, because its
            memory ran out, for example. A Job that Pulumi waits for must have 0: Pulumi ends its
            wait on the reasons BackoffLimitExceeded and DeadlineExceeded only, and a rule that
            fails the Job has another reason.
        metadata: More of the Job's labels, annotations and owners.
    """

    role: JobRole
    part: str
    decided_by: Sequence[pulumi.Input[str | int]]
    identity: PodIdentity
    with_token: bool = False
    image: pulumi.Input[str]
    command: Sequence[str] = ()
    arguments: Sequence[pulumi.Input[str]]
    config: StackConfig
    resources: ContainerResources = GATE_RESOURCES
    claim: pulumi.Input[str] | None = None
    deadline_s: int
    retries: int = 0
    metadata: Mapping[str, Any] = field(default_factory=dict)


def make_job(name: str, args: JobArgs, opts: pulumi.ResourceOptions) -> k8s.batch.v1.Job:
    """Make a Job, whose name in the cluster is another one with whatever decides it.

    A Job cannot be changed. Under a fixed name one that the stack's state does not know, because
    an `up` was killed or the state was lost, would be in the way of the one that is wanted.
    """
    digest = pulumi.Output.all(args.image, *args.decided_by).apply(
        lambda parts: hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
    )
    metadata: Document = {
        **args.metadata,
        "name": pulumi.Output.concat(f"{args.role.label}-", digest),
        "namespace": args.identity.namespace,
        "labels": {**labels(args.role.label), **args.metadata.get("labels", {})},
        "annotations": {**OWNED, **_RERUN, **args.metadata.get("annotations", {})},
    }
    inputs: Document = {"metadata": metadata, "spec": _spec(args)}
    return k8s.batch.v1.Job(name, opts=opts, **inputs)


def _spec(args: JobArgs) -> Document:
    # A pod that its node's loss or an eviction ended runs again and is not counted.
    disrupted = {"type": "DisruptionTarget", "status": "True"}
    rules: list[Document] = [{"action": "Ignore", "onPodConditions": [disrupted]}]
    if args.retries:
        final = {"containerName": args.part, "operator": "In", "values": _FINAL_EXIT_CODES}
        rules.append({"action": "FailJob", "onExitCodes": final})
    return {
        "backoffLimit": args.retries,
        "podFailurePolicy": {"rules": rules},
        "activeDeadlineSeconds": args.deadline_s,
        "template": {"metadata": {"labels": labels(args.part)}, "spec": _pod_spec(args)},
    }


def _pod_spec(args: JobArgs) -> Document:
    volumes: list[Document] = [{"name": "tmp", "emptyDir": {}}]
    mounts: list[Document] = [TMP]
    if args.claim is not None:
        volumes.append({"name": "models", "persistentVolumeClaim": {"claimName": args.claim}})
        mounts.append({"name": "models", "mountPath": MOUNT})
    limits = {"cpu": args.resources.cpu, "memory": args.resources.memory}
    affinity = {**node_affinity(args.config.region_requirements), **_pod_affinity(args)}
    return {
        "restartPolicy": "Never",
        "serviceAccountName": args.identity.account,
        "automountServiceAccountToken": args.with_token,
        "enableServiceLinks": False,
        # Not at every start through a volume of hundreds of files.
        "securityContext": {**pod_security(), "fsGroupChangePolicy": "OnRootMismatch"},
        "containers": [
            {
                "name": args.part,
                "image": args.image,
                **({"command": list(args.command)} if args.command else {}),
                "args": list(args.arguments),
                "env": _environment(args),
                "resources": {"requests": {**limits, "cpu": RESERVED_CPU}, "limits": limits},
                "volumeMounts": mounts,
                **restricted(),
            }
        ],
        "volumes": volumes,
        **({"affinity": affinity} if affinity else {}),
        **tolerations(args.config),
    }


def _pod_affinity(args: JobArgs) -> Document:
    """Keep to the server's node where no other can mount the volume; a first download has none."""
    one_node = args.config.storage.access_mode is AccessMode.READ_WRITE_ONCE
    if not one_node or args.claim is None:
        return {}
    term = {
        "labelSelector": {"matchLabels": {PART: "server"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    wish = {"weight": 100, "podAffinityTerm": term}
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}}


def _environment(args: JobArgs) -> list[Document]:
    variables: list[Document] = [{"name": "HF_ENDPOINT", "value": args.config.hub.endpoint}]
    if args.identity.hub_secret is not None:
        source = {"secretKeyRef": {"name": args.identity.hub_secret, "key": "token"}}
        variables.append({"name": "HF_TOKEN", "valueFrom": source})
    return variables
