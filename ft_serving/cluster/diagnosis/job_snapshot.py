"""What the API server says of a Job at one time."""

from ft_serving.cluster.diagnosis.snapshot import Kind, Snapshot
from ft_serving.cluster.documents import Document, label, name

# The Job controller's labels of its pods: https://kubernetes.io/docs/reference/labels-annotations-taints/.
JOB_LABEL = "batch.kubernetes.io/job-name"
_UID_LABEL = "batch.kubernetes.io/controller-uid"


class JobSnapshot(Snapshot):
    """A snapshot of a Job instead of an InferenceService; `name` is the Job's."""

    def job(self) -> Document | None:
        """The Job, where it exists."""
        return next((each for each in self.all(Kind.JOBS) if name(each) == self.name), None)

    def uid(self) -> str:
        """What tells the Job from others that had its name; empty where there is no Job."""
        return str((self.job() or {"metadata": {}})["metadata"].get("uid", ""))

    def service(self) -> None:
        """No InferenceService."""

    def own(self, kind: Kind) -> list[Document]:
        """The pods of all Jobs that had this name; of other kinds there are none."""
        return [each for each in self.all(kind) if label(each, JOB_LABEL) == self.name]

    def pods(self) -> list[Document]:
        """The Job's pods, without those of one that had its name before."""
        uid = self.uid()
        return [
            pod
            for pod in self.own(Kind.PODS)
            if label(pod, _UID_LABEL) == uid and "deletionTimestamp" not in pod["metadata"]
        ]

    def specs(self) -> list[Document]:
        """The specification of the Job's pods, of which there may be none yet."""
        job = self.job()
        return [] if job is None else [job["spec"]["template"]["spec"]]
