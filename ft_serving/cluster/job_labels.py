"""Labels and annotations of a stack's Jobs: the program writes them, and `diagnose` reads them.

They are on the Jobs, whose metadata may change, and not on their pods, whose may not.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from ft_serving.cluster.documents import Document, annotation, label

if TYPE_CHECKING:
    from ft_serving.core.release import ReleaseSpec

ROLE: Final = "app.kubernetes.io/component"
"""The label for a Job's role: one that Kubernetes recommends."""

SERVICE: Final = "ft-serving.dev/inference-service"
"""The label of a smoke test for the InferenceService that it asks."""

RELEASE: Final = "ft-serving.dev/release"
"""The annotation of a model download for the release that it prepares."""

MODEL: Final = "ft-serving.dev/model"
DTYPE: Final = "ft-serving.dev/dtype"
COMPUTE_DTYPE: Final = "ft-serving.dev/compute-dtype"
TENSOR_PARALLEL: Final = "ft-serving.dev/tensor-parallel"
PIPELINE_PARALLEL: Final = "ft-serving.dev/pipeline-parallel"
STREAMING: Final = "ft-serving.dev/streaming"
"""Annotations that describe the release and how the server computes: the release's name has only
a part of it."""


class JobRole(StrEnum):
    """The purpose of a Job, in words and as a label, in the order in which the Jobs run."""

    DOWNLOAD = "model download", "model-download"
    DOWNLOAD_GATE = "its gate", "model-download-gate"
    SMOKE_TEST = "smoke test", "smoke-test"
    COLLECTION = "release collection", "release-collection"

    label: str

    def __new__(cls, words: str, label: str) -> Self:
        """Make a role."""
        role = str.__new__(cls, words)
        role._value_ = words
        role.label = label
        return role


def role_of(job: Document, service: str) -> JobRole | None:
    """Return a Job's role in the stack of an InferenceService; None if it has none there."""
    role = next((each for each in JobRole if label(job, ROLE) == each.label), None)
    asks_another = role is JobRole.SMOKE_TEST and label(job, SERVICE) != service
    return None if asks_another else role


def release_annotations(
    release: "ReleaseSpec", *, computed_in: str, tensor_parallel: int, pipeline_parallel: int
) -> dict[str, str]:
    """Return the annotations from which `diagnose` describes a release.

    Args:
        release: The release.
        computed_in: The format that the stack's server computes in.
        tensor_parallel: The number of GPUs that share each layer.
        pipeline_parallel: The number of groups of GPUs that share the layers.
    """
    return {
        RELEASE: release.name,
        MODEL: f"{release.repository}@{release.revision}",
        DTYPE: release.dtype,
        COMPUTE_DTYPE: computed_in,
        TENSOR_PARALLEL: str(tensor_parallel),
        PIPELINE_PARALLEL: str(pipeline_parallel),
        STREAMING: str(release.streaming).lower(),
    }


def prepares(job: Document, release: str) -> bool:
    """Return whether a Job prepares a release."""
    return annotation(job, RELEASE) == release
