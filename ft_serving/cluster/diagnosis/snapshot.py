"""The API objects of a deployment or of a Job at one time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ft_serving.cluster.documents import (
    Document,
    annotation,
    claim_names,
    condition,
    created,
    is_ending,
    label,
    name,
    time,
)

INFERENCE_SERVICE_LABEL = "serving.kserve.io/inferenceservice"
REVISION_LABEL = "serving.knative.dev/revision"
# The Job controller's labels of its pods: https://kubernetes.io/docs/reference/labels-annotations-taints/.
JOB_LABEL = "batch.kubernetes.io/job-name"
_UID_LABEL = "batch.kubernetes.io/controller-uid"
COMPONENTS = ("predictor", "transformer")
"""KServe's parts of an InferenceService: the server's pods, and those of the OpenAI API."""
# Of Deployments' ReplicaSets: https://github.com/kubernetes/kubernetes, pkg/controller/deployment.
ROLLOUT_ANNOTATION = "deployment.kubernetes.io/revision"


class Kind(StrEnum):
    """A kind of object that a snapshot has; the value is its resource's name in the API."""

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
    """The objects of a namespace, and the logs of some of its containers."""

    namespace: str
    name: str  # The InferenceService's name.
    begun: datetime  # When looking began. Conditions from before it may be about an older state.
    # The namespace's objects; of nodes those of the cluster, where they may be read.
    objects: Mapping[Kind, Sequence[Document]]
    # The last lines of the containers of pods that are not ready, by pod and container; those of
    # the run before, where a container ended and runs again.
    logs: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def all(self, kind: Kind) -> Sequence[Document]:
        """Return the objects of a kind."""
        return self.objects.get(kind, ())

    def service(self) -> Document | None:
        """Return the InferenceService, where it exists."""
        return self._named(Kind.INFERENCE_SERVICES)

    def component_statuses(self) -> dict[str, Document]:
        """Return the status of each component that the InferenceService has."""
        service = self.service() or {}
        found = service.get("status", {}).get("components", {})
        return {each: found.get(each, {}) for each in COMPONENTS if each in service.get("spec", {})}

    def observed(self) -> bool:
        """Return whether all statuses are about the newest specification.

        The InferenceService's `observedGeneration` does not tell: KServe writes that of the last
        object that it looked at there (v0.17, `PropagateStatus`). So the specification is
        compared with what KServe has made of it.
        """
        service = self.service()
        knative = self.own(Kind.KNATIVE_SERVICES)
        made = {name(each): each for each in knative or self.own(Kind.DEPLOYMENTS)}
        if service is None or not all(
            map(_is_observed, [*knative, *self.current(Kind.DEPLOYMENTS)])
        ):
            return False
        for component, status in self.component_statuses().items():
            wanted = service["spec"][component].get("containers") or ()
            one = made.get(f"{self.name}-{component}")
            if one is None:
                return False
            if not _contains(one["spec"]["template"]["spec"]["containers"], wanted):
                return False
            if knative and any(
                one["status"].get(f"{revision}Name") != status.get(revision)
                for revision in ("latestCreatedRevision", "latestReadyRevision")
            ):
                return False
        return True

    def own(self, kind: Kind) -> list[Document]:
        """Return the objects of a kind that were made for the InferenceService."""
        return [
            each for each in self.all(kind) if label(each, INFERENCE_SERVICE_LABEL) == self.name
        ]

    def newest_revisions(self) -> set[str]:
        """Return the name of each component's newest Knative revision; none in Standard mode."""
        statuses = self.component_statuses().values()
        return {
            str(it["latestCreatedRevision"]) for it in statuses if "latestCreatedRevision" in it
        }

    def abandoned_revision(self) -> Document | None:
        """Return a component's newest Knative revision if it failed and never was ready."""
        statuses = self.component_statuses().values()
        newest = self.newest_revisions() - {it.get("latestReadyRevision") for it in statuses}
        for revision in self.own(Kind.REVISIONS):
            if name(revision) in newest and condition(revision, "Ready").get("status") == "False":
                return revision
        return None

    def current(self, kind: Kind) -> list[Document]:
        """Return the objects of a kind that do not belong to an older revision."""
        newest = self.newest_revisions()
        return [
            each
            for each in self.own(kind)
            if not newest or label(each, REVISION_LABEL) in {"", *newest}
        ]

    def pods(self) -> list[Document]:
        """Return the pods of the newest revision or rollout that are not being deleted."""
        newest: dict[str, Document] = {}
        for each in sorted(self.own(Kind.REPLICA_SETS), key=_rollout):
            newest |= dict.fromkeys(_owners(each), each)
        sets = set(map(name, newest.values()))
        return [
            pod
            for pod in self.current(Kind.PODS)
            if not is_ending(pod) and (not _owners(pod) or _owners(pod) & sets)
        ]

    def specs(self) -> list[Document]:
        """Return the specifications of pods that are to be made."""
        spec = (self.service() or {}).get("spec", {})
        return [spec[each] for each in COMPONENTS if each in spec]

    def writers(self) -> list[Document]:
        """Return the Jobs that mount a claim of the service, oldest first."""
        claims = {claim for spec in self.specs() for claim in claim_names(spec)}
        jobs = [
            job
            for job in self.all(Kind.JOBS)
            if claim_names(job["spec"]["template"]["spec"]) & claims
        ]
        return sorted(jobs, key=created)

    def written_after(self, moment: datetime) -> bool:
        """Return whether a Job has completed since, which may have mended the release."""
        ends = (job.get("status", {}).get("completionTime") for job in self.writers())
        return any(time(end) > moment for end in ends if end)

    def ending(self) -> bool:
        """Return whether pods of the service are being deleted."""
        return any(map(is_ending, self.own(Kind.PODS)))

    def events(self, kind: str, of: str, *reasons: str) -> list[Document]:
        """Return the events of an object (`Pod`, its name) with certain reasons, oldest first."""
        found = [
            event
            for event in self.all(Kind.EVENTS)
            if event["involvedObject"].get("kind") == kind
            and event["involvedObject"].get("name") == of
            and event.get("reason") in reasons
        ]
        return sorted(found, key=self.last)

    def first(self, event: Document) -> datetime:
        """Return when an event happened first."""
        first = event.get("firstTimestamp") or event.get("eventTime")
        return time(first) if first else self.begun

    def last(self, event: Document) -> datetime:
        """Return when an event happened last."""
        last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp")
        return time(last) if last else self.first(event)

    def _named(self, kind: Kind) -> Document | None:
        return next((each for each in self.all(kind) if name(each) == self.name), None)


class JobSnapshot(NamespaceSnapshot):
    """A snapshot of a Job instead of an InferenceService; `name` is the Job's."""

    def job(self) -> Document | None:
        """Return the Job, where it exists."""
        return self._named(Kind.JOBS)

    def uid(self) -> str:
        """Return the Job's uid, which tells it from earlier Jobs of its name; else empty."""
        return str((self.job() or {"metadata": {}})["metadata"].get("uid", ""))

    def service(self) -> None:
        """Return no InferenceService."""

    def own(self, kind: Kind) -> list[Document]:
        """Return the pods of all Jobs that had this name; of other kinds there are none."""
        return [each for each in self.all(kind) if label(each, JOB_LABEL) == self.name]

    def pods(self) -> list[Document]:
        """Return the Job's pods, without those of an earlier Job of its name."""
        uid = self.uid()
        return [
            pod
            for pod in self.own(Kind.PODS)
            if label(pod, _UID_LABEL) == uid and not is_ending(pod)
        ]

    def specs(self) -> list[Document]:
        """Return the specification of the Job's pods, of which there may be none yet."""
        job = self.job()
        return [] if job is None else [job["spec"]["template"]["spec"]]


def _is_observed(made: Document) -> bool:
    return bool(made.get("status", {}).get("observedGeneration") == made["metadata"]["generation"])


def _contains(made: object, wanted: object) -> bool:
    """Return whether a part of an object has all that is wanted of it; KServe adds to it."""
    if isinstance(wanted, Mapping):
        return isinstance(made, Mapping) and all(
            key in made and _contains(made[key], value) for key, value in wanted.items()
        )
    if isinstance(wanted, list | tuple):
        return (
            isinstance(made, list | tuple)
            and len(made) >= len(wanted)
            and all(map(_contains, made, wanted))
        )
    return made == wanted


def _owners(document: Document) -> set[str]:
    references = document["metadata"].get("ownerReferences") or ()
    return {reference["name"] for reference in references if reference.get("controller")}


def _rollout(replica_set: Document) -> int:
    return int(annotation(replica_set, ROLLOUT_ANNOTATION) or 0)
