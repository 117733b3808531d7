"""Reads snapshots from a namespace of a cluster. It needs the extra `cluster`."""

import dataclasses
import http.client
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

from ft_serving.cluster.api import Api, ApiAnswer
from ft_serving.cluster.diagnosis.causes.containers import bad_end
from ft_serving.cluster.diagnosis.snapshot import JOB_LABEL, JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.documents import Document, container_statuses, holds, label, name
from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError

_GROUPS: Final = {
    Kind.INFERENCE_SERVICES: "apis/serving.kserve.io/v1beta1",
    Kind.KNATIVE_SERVICES: "apis/serving.knative.dev/v1",
    Kind.REVISIONS: "apis/serving.knative.dev/v1",
    Kind.DEPLOYMENTS: "apis/apps/v1",
    Kind.REPLICA_SETS: "apis/apps/v1",
    Kind.PODS: "api/v1",
    Kind.CLAIMS: "api/v1",
    Kind.JOBS: "apis/batch/v1",
    Kind.EVENTS: "api/v1",
}
_OF_JOBS: Final = (Kind.JOBS, Kind.PODS, Kind.CLAIMS, Kind.EVENTS)
# Triton says why a model does not load some sixty lines before its last.
_LOG_LINES: Final = 200


class ClusterNamespace:
    """A namespace of a cluster.

    Every method may raise `ClusterUnavailableError` and `ClusterRefusalError`.
    """

    def __init__(self, *, context: str | None = None, namespace: str | None = None) -> None:
        """Connect with the pod's service account or, outside of a cluster, with a kubeconfig.

        Args:
            context: A context of the kubeconfig; by default the current one.
            namespace: By default that of the service account, or of the context.

        Raises:
            ClusterUnavailableError: There is no such cluster or context.
        """
        pod = Api.of_pod() if context is None else None
        self._api = pod or Api.of_kubeconfig(context=context)
        self.namespace = namespace or self._api.namespace
        self._begun = datetime.now(UTC)

    def snapshot(self, service: str) -> NamespaceSnapshot:
        """Return the namespace's present objects, for an InferenceService."""
        snapshot = NamespaceSnapshot(
            namespace=self.namespace, name=service, begun=self._begun, objects=self._all(_GROUPS)
        )
        unready = [pod for pod in snapshot.pods() if not holds(pod, "Ready")]
        logs = self._logs(unready, lambda it: "running" in it["state"] or bad_end(it) is not None)
        return dataclasses.replace(snapshot, logs=logs)

    def overview(self, service: str) -> NamespaceSnapshot:
        """Return a snapshot that has the last lines of Jobs, too."""
        snapshot = self.snapshot(service)
        of_jobs = [pod for pod in snapshot.all(Kind.PODS) if label(pod, JOB_LABEL)]
        logs = self._logs(of_jobs, lambda it: "waiting" not in it["state"])
        return dataclasses.replace(snapshot, logs={**snapshot.logs, **logs})

    def job_snapshot(self, job: str) -> JobSnapshot:
        """Return the present objects that are about a Job."""
        return JobSnapshot(
            namespace=self.namespace, name=job, begun=self._begun, objects=self._all(_OF_JOBS)
        )

    def delete_revision(self, revision: str) -> None:
        """Delete a Knative revision; its service makes the newest one anew."""
        group = _GROUPS[Kind.REVISIONS]
        path = f"/{group}/namespaces/{self.namespace}/{Kind.REVISIONS}/{revision}"
        _accepted(self._api.delete(path))
        # What snapshots show at first is still about the deleted revision.
        self._begun = datetime.now(UTC)

    def _all(self, kinds: Iterable[Kind]) -> dict[Kind, list[Document]]:
        objects = {kind: self._list(kind) for kind in kinds}
        # A role of one namespace may not read the cluster's nodes.
        nodes = self._api.get("/api/v1/nodes")
        if nodes.status != http.client.FORBIDDEN:
            objects[Kind.NODES] = _items(nodes)
        return objects

    def _list(self, kind: Kind) -> list[Document]:
        resource = kind.partition(".")[0]
        answer = self._api.get(f"/{_GROUPS[kind]}/namespaces/{self.namespace}/{resource}")
        if answer.status == http.client.NOT_FOUND:
            # A cluster without Knative serves in Standard mode.
            if kind is not Kind.INFERENCE_SERVICES:
                return []
            raise ClusterRefusalError(
                "The cluster knows no InferenceServices (serving.kserve.io/v1beta1): install KServe"
            )
        return _items(answer)

    def _logs(
        self, pods: Iterable[Document], wanted: Callable[[Document], bool]
    ) -> dict[tuple[str, str], str]:
        return {
            (name(pod), status["name"]): self._log(name(pod), status)
            for pod in pods
            for status in container_statuses(pod)
            if wanted(status)
        }

    def _log(self, pod: str, status: Document) -> str:
        # While it waits to be started again, the API gives the log of the one that ended.
        ended_before = "running" in status["state"] and bad_end(status) is not None
        try:
            answer = self._api.get(
                f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log",
                container=status["name"],
                previous=str(ended_before).lower(),
                tailLines=_LOG_LINES,
            )
        except ClusterUnavailableError:
            return ""
        if answer.status == http.client.FORBIDDEN:
            _accepted(answer)
        # Without a log (its pod or node went away, or it was dropped) the other objects still tell.
        return answer.text if answer.status == http.client.OK else ""


def _items(answer: ApiAnswer) -> list[Document]:
    items: list[Document] = _accepted(answer).document["items"]
    return items


def _accepted(answer: ApiAnswer) -> ApiAnswer:
    if answer.status == http.client.OK:
        return answer
    message = f"The API server answers {answer.status}: {answer.message}"
    if answer.status == http.client.FORBIDDEN:
        raise ClusterRefusalError(f"{message}. Let it get and list this, by a Role")
    raise ClusterUnavailableError(message)
