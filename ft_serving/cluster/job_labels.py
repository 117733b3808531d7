"""How a stack's Jobs say what they are: the program writes it, and diagnosis reads it.

It stands in the metadata of the Jobs themselves, which may change: their pods' may not.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Final, Self

from ft_serving.cluster.documents import Document, annotation, label

if TYPE_CHECKING:
    from ft_serving.core.release import ReleaseSpec

ROLE: Final = "app.kubernetes.io/component"
"""The label that says which Job it is: one that Kubernetes recommends."""

SERVICE: Final = "ft-serving.dev/inference-service"
"""The label of a smoke test that names the InferenceService which it asks."""

RELEASE: Final = "ft-serving.dev/release"
"""The annotation of a model download that names the release which it prepares."""

MODEL: Final = "ft-serving.dev/model"
DTYPE: Final = "ft-serving.dev/dtype"
COMPUTE_DTYPE: Final = "ft-serving.dev/compute-dtype"
TENSOR_PARALLEL: Final = "ft-serving.dev/tensor-parallel"
PIPELINE_PARALLEL: Final = "ft-serving.dev/pipeline-parallel"
STREAMING: Final = "ft-serving.dev/streaming"
"""Annotations that say what the release is made of, and how the stack's server computes with it: a
release's name has only some of it."""


class JobRole(StrEnum):
    """What a Job of a stack is for, in words, and its label; in the order in which they run."""

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
    """Return what a Job is for; None where it is none of a service's stack.

    Args:
        job: The Job.
        service: The InferenceService's name.
    """
    role = next((each for each in JobRole if label(job, ROLE) == each.label), None)
    asks_another = role is JobRole.SMOKE_TEST and label(job, SERVICE) != service
    return None if asks_another else role


def release_annotations(
    release: "ReleaseSpec", *, computed_in: str, tensor_parallel: int, pipeline_parallel: int
) -> dict[str, str]:
    """Return the annotations of the Job that prepares a release.

    Args:
        release: The release.
        computed_in: Format that the stack's server computes in.
        tensor_parallel: Its GPUs that share each layer.
        pipeline_parallel: Its groups of GPUs that share the layers.
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
    """Whether a Job prepares a release."""
    return annotation(job, RELEASE) == release
