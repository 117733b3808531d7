"""What a report holds."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ft_serving.cluster.diagnosis.verdict import Cause
from ft_serving.cluster.job_labels import JobRole


class Standing(StrEnum):
    """How a deployment stands as a whole."""

    READY = "ready"
    SCALED_TO_ZERO = "scaled to zero"
    ON_ITS_WAY = "on its way"
    FAILED = "failed"


class JobPhase(StrEnum):
    """How a Job stands."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """The release of weights that the newest specification serves.

    Attributes:
        name: Its folder below the model repository.
        model: REPOSITORY@REVISION. Known, as what follows, by the Job that prepared it, while that
            exists.
        dtype: Format of the stored weights.
        compute_dtype: Format that the server computes in.
        tensor_parallel: GPUs that share each layer.
        pipeline_parallel: Groups of GPUs that share the layers.
        streaming: Whether it is served decoupled.
    """

    name: str
    model: str | None = None
    dtype: str | None = None
    compute_dtype: str | None = None
    tensor_parallel: int | None = None
    pipeline_parallel: int | None = None
    streaming: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """A Knative revision or, in Standard mode, the Deployment.

    Attributes:
        name: Its name.
        wanted: Replicas that there should be; None where nobody has said it yet.
        running: Pods whose containers run.
        ready: Pods that are ready.
        traffic: Percent of the requests; None where it is not told.
        state: "ready", "idle", or the reason why not.
    """

    name: str
    wanted: int | None
    running: int
    ready: int
    traffic: int | None
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """A pod of the service.

    Attributes:
        name: Its name.
        state: Its phase, or what its first container that is not well waits for.
        node: Where it is.
        restarts: Of all of its containers.
        created: When it was made.
        last_end: How a container ended last: name, reason and exit code.
    """

    name: str
    state: str
    node: str | None
    restarts: int
    created: datetime
    last_end: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StackJob:
    """A Job of the stack.

    Attributes:
        role: What it is for.
        name: Its name.
        phase: How it stands.
        created: When it was made.
        said: Why it failed, or the last line that it wrote.
        cause: Why it failed, or waits.
    """

    role: JobRole
    name: str
    phase: JobPhase
    created: datetime
    said: str
    cause: Cause | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A claim of a volume that the service mounts.

    Attributes:
        name: Its name.
        phase: "Bound", "Pending", "Lost", or "missing".
        size: What it has, or asks for while it has none.
        storage_class: Its class; the cluster's default where it names none.
        access_modes: Who may mount it.
    """

    name: str
    phase: str
    size: str | None
    storage_class: str | None
    access_modes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Warnings:
    """Warnings of one kind about one object.

    Attributes:
        about: The object, as `Pod/NAME`.
        reason: The event's reason.
        message: Its text.
        count: How often it was said.
        last: When it was said last.
    """

    about: str
    reason: str
    message: str
    count: int
    last: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """How a deployment stands, and all that belongs to it.

    Attributes:
        namespace: Its namespace.
        name: The InferenceService's name.
        at: When the cluster was asked.
        standing: How it stands.
        serving: Whether requests are answered, be it by an older revision.
        cause: Of a failure, the root.
        reason: Why it failed, or what it waits for; empty where it is ready.
        url: Its address.
        mode: KServe's deployment mode.
        replicas: Fewest and most.
        release: What it serves.
        image: The server's image.
        revisions: Those that have pods, requests, or are to have.
        pods: All of them, the newest first.
        jobs: The newest Job of each role.
        claims: What the service mounts.
        warnings: The newest first.
        next_steps: What to do.
    """

    namespace: str
    name: str
    at: datetime
    standing: Standing
    serving: bool
    cause: Cause | None
    reason: str
    url: str | None
    mode: str | None
    replicas: tuple[int, int] | None
    release: Release | None
    image: str | None
    revisions: tuple[Revision, ...]
    pods: tuple[Pod, ...]
    jobs: tuple[StackJob, ...]
    claims: tuple[Claim, ...]
    warnings: tuple[Warnings, ...]
    next_steps: tuple[str, ...]
