"""Which release a service serves, as far as the cluster tells without looking into the volume."""

from ft_serving.cluster.diagnosis.report.jobs import arguments
from ft_serving.cluster.diagnosis.report.model import Release
from ft_serving.cluster.diagnosis.snapshot import Kind, Snapshot
from ft_serving.cluster.documents import Document

RELEASE_ANNOTATION = "ft-serving.dev/release"
"""Of the Job that prepares a release."""

_REPOSITORY = "--model-repository="


def release_of(snapshot: Snapshot) -> Release | None:
    """The release that the newest specification names; None where it names none.

    Args:
        snapshot: What there is.
    """
    names = [
        word.removeprefix(_REPOSITORY).rstrip("/").rpartition("/")[2]
        for spec in snapshot.specs()
        for container in spec.get("containers") or ()
        for word in container.get("args") or ()
        if word.startswith(_REPOSITORY)
    ]
    if not names:
        return None
    job = next((each for each in snapshot.all(Kind.JOBS) if _prepares(each) == names[0]), None)
    return Release(name=names[0]) if job is None else _described(names[0], arguments(job))


def _prepares(job: Document) -> str | None:
    release: str | None = (job["metadata"].get("annotations") or {}).get(RELEASE_ANNOTATION)
    return release


def _described(name: str, options: dict[str, str]) -> Release:
    dtype = options.get("--dtype")
    model = "@".join(filter(None, (options.get("--repository"), options.get("--revision"))))
    return Release(
        name=name,
        model=model or None,
        dtype=dtype,
        compute_dtype=options.get("--compute-dtype", dtype),
        tensor_parallel=int(options.get("--tensor-parallel", 1)),
        pipeline_parallel=int(options.get("--pipeline-parallel", 1)),
        streaming="--streaming" in options,
    )
