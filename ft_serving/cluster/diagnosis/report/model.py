"""The parts of a report. Their fields are the keys of `ft-serving diagnose --json`."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from ft_serving.cluster.diagnosis.verdict import Cause
from ft_serving.cluster.job_labels import JobRole


class Standing(StrEnum):
    """The state of a deployment as a whole."""

    READY = "ready"
    SCALED_TO_ZERO = "scaled to zero"
    ON_ITS_WAY = "on its way"
    FAILED = "failed"


class JobPhase(StrEnum):
    """The state of a Job."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """The release of weights that the newest specification serves.

    All but its name is known from the Job that prepared it, while that exists.
    """

    name: str  # Its folder in the model repository.
    model: str | None = None  # REPOSITORY@REVISION.
    dtype: str | None = None  # Format of the stored weights.
    compute_dtype: str | None = None  # Format that the server computes in.
    tensor_parallel: int | None = None  # GPUs that share each layer.
    pipeline_parallel: int | None = None  # Groups of GPUs that share the layers.
    streaming: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """A Knative revision or, in Standard mode, the Deployment."""

    name: str
    wanted: int | None  # Replicas that there should be; None if nobody has said it yet.
    running: int  # Pods whose containers run.
    ready: int
    traffic: int | None = None  # Percent of the requests; None if it is not known.
    state: str  # "ready", "idle", or the reason why not.


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """A pod of the service."""

    name: str
    state: str  # Its phase, or the reason why its first container that is not well waits.
    node: str | None
    restarts: int  # Of all of its containers.
    created: datetime
    last_end: str | None  # The last end of a container: name, reason and exit code.


@dataclass(frozen=True, kw_only=True, slots=True)
class StackJob:
    """A Job of the stack."""

    role: JobRole
    name: str
    phase: JobPhase
    created: datetime
    said: str  # Why it failed, or the last line that it wrote.
    cause: Cause | None  # Why it failed, or waits.


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A claim that the service mounts."""

    name: str
    phase: str  # "Bound", "Pending", "Lost", or "missing".
    size: str | None = None  # The volume's or, without one, the claim's.
    storage_class: str | None = None  # None for the cluster's default.
    access_modes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Warnings:
    """Warnings of one kind about one object."""

    about: str  # Pod/NAME.
    reason: str
    message: str
    count: int
    last: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The state of a deployment, and all that belongs to it."""

    namespace: str
    name: str  # The InferenceService's.
    at: datetime  # When the cluster was asked.
    standing: Standing
    serving: bool  # Whether requests are answered, be it by an older revision.
    cause: Cause | None  # The root cause of a failure.
    reason: str  # Why it failed, or is not ready yet; else empty.
    url: str | None
    mode: str | None  # KServe's deployment mode.
    replicas: tuple[int, int] | None  # Fewest and most.
    release: Release | None
    image: str | None  # The server's.
    revisions: tuple[Revision, ...]  # Those with pods or requests, and the newest.
    pods: tuple[Pod, ...]  # All, the newest first.
    jobs: tuple[StackJob, ...]  # The newest of each role.
    claims: tuple[Claim, ...]
    warnings: tuple[Warnings, ...]  # The newest first.
    next_steps: tuple[str, ...]
