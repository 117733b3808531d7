"""What the API server says of a deployment or a Job at one time."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ft_serving.cluster.documents import (
    Document,
    claim_names,
    condition,
    label,
    name,
    time,
)

INFERENCE_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
REVISION_LABEL = "serving.knative.dev/revision"
# The Job controller's labels of its pods: https://kubernetes.io/docs/reference/labels-annotations-taints/.
JOB_LABEL = "batch.kubernetes.io/job-name"
_UID_LABEL = "batch.kubernetes.io/controller-uid"
# Of Deployments' ReplicaSets: https://github.com/kubernetes/kubernetes, pkg/controller/deployment.
ROLLOUT_ANNOTATION = "deployment.kubernetes.io/revision"


class Kind(StrEnum):
    """The kinds of objects that are looked at; the value is the resource's name in the API."""

    INFERENCE_SERVICES = "inferenceservices"
    KNATIVE_SERVICES = "services.serving.knative.dev"
    REVISIONS = "revisions"
    DEPLOYMENTS = "deployments"
    REPLICA_SETS = "replicasets"
    PODS = "pods"
    CLAIMS = "persistentvolumeclaims"
    JOBS = "jobs"
    EVENTS = "events"
    NODES = "nodes"


@dataclass(frozen=True, kw_only=True, slots=True)
class NamespaceSnapshot:
    """The objects of a namespace, and what some of its containers wrote.

    Attributes:
        namespace: The namespace.
        name: The InferenceService's name.
        begun: When looking began. What is there at once may be about a state that is just being
            replaced.
        objects: The namespace's objects; of nodes those of the cluster, where they may be read.
        logs: The last lines of the containers of pods that are not ready, by pod and container;
            of the one before, where a container ended and runs again.
    """

    namespace: str
    name: str
    begun: datetime
    objects: Mapping[Kind, Sequence[Document]]
    logs: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def all(self, kind: Kind) -> Sequence[Document]:
        """The objects of a kind."""
        return self.objects.get(kind, ())

    def service(self) -> Document | None:
        """The InferenceService, where it exists."""
        found = (each for each in self.all(Kind.INFERENCE_SERVICES) if name(each) == self.name)
        return next(found, None)

    def observed(self) -> bool:
        """Whether the statuses of what is to become ready are about its newest specification."""
        service = self.service()
        made = [*self.own(Kind.KNATIVE_SERVICES), *self.current(Kind.DEPLOYMENTS)]
        return service is not None and all(
            each.get("status", {}).get("observedGeneration") == each["metadata"]["generation"]
            for each in (service, *made)
        )

    def own(self, kind: Kind) -> list[Document]:
        """The objects of a kind that were made for the InferenceService."""
        return [
            each for each in self.all(kind) if label(each, INFERENCE_SERVICE_LABEL) == self.name
        ]

    def newest_revision(self) -> str:
        """The name of the Knative revision that is to become ready; empty in Standard mode."""
        status = (self.service() or {}).get("status", {})
        predictor = status.get("components", {}).get("predictor", {})
        return str(predictor.get("latestCreatedRevision", ""))

    def abandoned_revision(self) -> str:
        """The newest Knative revision, where it failed and never was ready; empty otherwise."""
        newest = self.newest_revision()
        status = (self.service() or {}).get("status", {})
        ready = status.get("components", {}).get("predictor", {}).get("latestReadyRevision")
        failed = any(
            name(revision) == newest and condition(revision, "Ready").get("status") == "False"
            for revision in self.own(Kind.REVISIONS)
        )
        return newest if failed and ready != newest else ""

    def current(self, kind: Kind) -> list[Document]:
        """The objects of a kind that belong to what is to become ready, not to older revisions."""
        revision = self.newest_revision()
        return [
            each
            for each in self.own(kind)
            if not revision or label(each, REVISION_LABEL) in ("", revision)
        ]

    def pods(self) -> list[Document]:
        """The pods of what is to become ready, without those of the state before it."""
        pods = [
            pod for pod in self.current(Kind.PODS) if "deletionTimestamp" not in pod["metadata"]
        ]
        newest = {name(each) for each in self._newest_replica_sets()}
        return [pod for pod in pods if not _owners(pod) or _owners(pod) & newest]

    def specs(self) -> list[Document]:
        """The specifications that pods are made after."""
        service = self.service()
        return [] if service is None else [service["spec"].get("predictor", {})]

    def writers(self) -> list[Document]:
        """The Jobs that mount a claim which the service reads, oldest first."""
        claims = {claim for spec in self.specs() for claim in claim_names(spec)}
        jobs = [
            job
            for job in self.all(Kind.JOBS)
            if claim_names(job["spec"]["template"]["spec"]) & claims
        ]
        return sorted(jobs, key=lambda job: str(job["metadata"]["creationTimestamp"]))

    def written_after(self, moment: datetime) -> bool:
        """Whether a Job has got through since, that may have mended what the service reads."""
        ends = (job.get("status", {}).get("completionTime") for job in self.writers())
        return any(time(end) > moment for end in ends if end)

    def ending(self) -> bool:
        """Whether pods of the same name's are being deleted."""
        return any("deletionTimestamp" in pod["metadata"] for pod in self.own(Kind.PODS))

    def events(self, kind: str, of: str, reasons: str | Sequence[str]) -> list[Document]:
        """The events of an object with one of certain reasons, oldest first.

        Args:
            kind: The object's kind, as `Pod`.
            of: The object's name.
            reasons: What stands under `reason`.
        """
        wanted = [reasons] if isinstance(reasons, str) else reasons
        return sorted(
            (
                event
                for event in self.all(Kind.EVENTS)
                if event["involvedObject"].get("kind") == kind
                and event["involvedObject"].get("name") == of
                and event.get("reason") in wanted
            ),
            key=lambda event: self.happened(event)[1],
        )

    def happened(self, event: Document) -> tuple[datetime, datetime]:
        """When an event happened first and last."""
        stamp = event.get("eventTime")
        first = event.get("firstTimestamp") or stamp
        last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp")
        begin = time(first) if first else self.begun
        return begin, time(last) if last else begin

    def _newest_replica_sets(self) -> Iterator[Document]:
        newest: dict[str, Document] = {}
        for each in self.own(Kind.REPLICA_SETS):
            for deployment in _owners(each):
                known = newest.get(deployment)
                if known is None or _rollout(each) > _rollout(known):
                    newest[deployment] = each
        yield from newest.values()


class JobSnapshot(NamespaceSnapshot):
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


def _owners(document: Document) -> set[str]:
    references = document["metadata"].get("ownerReferences") or ()
    return {reference["name"] for reference in references if reference.get("controller")}


def _rollout(replica_set: Document) -> int:
    annotations = replica_set["metadata"].get("annotations") or {}
    return int(annotations.get(ROLLOUT_ANNOTATION, 0))
