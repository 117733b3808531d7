"""Reads snapshots from a cluster. Importing this needs the extra `cluster`.

Objects are read as the API server gives them: the generated classes of the Kubernetes client rename
their fields, and building them takes longer than the request.
"""

import dataclasses
import http.client
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.config.config_exception import ConfigException

from ft_serving.cluster.diagnosis.causes.containers import bad_end
from ft_serving.cluster.diagnosis.documents import (
    Document,
    condition,
    container_statuses,
    label,
    name,
)
from ft_serving.cluster.diagnosis.errors import (
    ClusterConfigError,
    ClusterRefusalError,
    ClusterUnavailableError,
)
from ft_serving.cluster.diagnosis.job_snapshot import JOB_LABEL, JobSnapshot
from ft_serving.cluster.diagnosis.snapshot import Kind, Snapshot
from ft_serving.cluster.kubeconfig import LOAD_ERRORS, open_client
from ft_serving.core.proxies import Proxy, ProxyError, blamed

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
# Seconds to connect and to wait.
_REQUEST_TIMEOUT: Final = (5.0, 20.0)
_SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

Query = Sequence[tuple[str, str | int]]


class Cluster:
    """A namespace of a cluster.

    Every method may raise `ClusterUnavailableError` and `ClusterRefusalError`.
    """

    def __init__(self, *, context: str | None = None, namespace: str | None = None) -> None:
        """Choose a cluster: inside of one by the pod's service account, else by kubeconfig.

        Args:
            context: A context of the kubeconfig; by default its current one.
            namespace: By default that of the service account, or of the context.

        Raises:
            ClusterConfigError: There is no such cluster, context or namespace.
        """
        try:
            self._client, self._proxy, default = _connect(context)
        except ProxyError as exc:
            raise ClusterConfigError(f"No cluster can be asked: {exc}") from exc
        self.namespace = namespace or default
        # Whoever waits says for what; the client's own attempts would only add silence.
        self._client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        self._begun = datetime.now(UTC)

    def snapshot(self, service: str) -> Snapshot:
        """What the namespace has at this time.

        Args:
            service: The InferenceService's name.
        """
        snapshot = Snapshot(
            namespace=self.namespace, name=service, begun=self._begun, objects=self._all(_GROUPS)
        )
        logs = {
            (name(pod), status["name"]): self._log(name(pod), status)
            for pod in snapshot.pods()
            if condition(pod, "Ready").get("status") != "True"
            for status in container_statuses(pod)
            if "running" in status["state"] or bad_end(status)
        }
        return dataclasses.replace(snapshot, logs=logs)

    def overview(self, service: str) -> Snapshot:
        """A snapshot that has the last lines of its Jobs, too.

        Args:
            service: The InferenceService's name.
        """
        snapshot = self.snapshot(service)
        logs = {
            (name(pod), status["name"]): self._log(name(pod), status)
            for pod in snapshot.all(Kind.PODS)
            if label(pod, JOB_LABEL)
            for status in container_statuses(pod)
            if "waiting" not in status["state"]
        }
        return dataclasses.replace(snapshot, logs={**snapshot.logs, **logs})

    def job_snapshot(self, job: str) -> JobSnapshot:
        """What of it is about a Job.

        Args:
            job: The Job's name.
        """
        return JobSnapshot(
            namespace=self.namespace, name=job, begun=self._begun, objects=self._all(_OF_JOBS)
        )

    def delete_revision(self, revision: str) -> None:
        """Delete a Knative revision; the newest one is made anew by its service.

        Args:
            revision: Its name.
        """
        group = _GROUPS[Kind.REVISIONS]
        path = f"/{group}/namespaces/{self.namespace}/{Kind.REVISIONS}/{revision}"
        self._ask("DELETE", path)

    def _all(self, kinds: Iterable[Kind]) -> dict[Kind, list[Document]]:
        objects = {kind: self._list(kind) for kind in kinds}
        nodes = self._nodes()
        return objects if nodes is None else {**objects, Kind.NODES: nodes}

    def _list(self, kind: Kind) -> list[Document]:
        resource = kind.partition(".")[0]
        path = f"/{_GROUPS[kind]}/namespaces/{self.namespace}/{resource}"
        try:
            items: list[Document] = json.loads(self._get(path))["items"]
        except _NotThereError as exc:
            # A cluster without Knative serves in Standard mode.
            if kind is not Kind.INFERENCE_SERVICES:
                return []
            raise ClusterRefusalError(
                "The cluster knows no InferenceServices (serving.kserve.io/v1beta1): install KServe"
            ) from exc
        return items

    def _nodes(self) -> list[Document] | None:
        """The cluster's nodes, which a role of one namespace may not read."""
        try:
            items: list[Document] = json.loads(self._get("/api/v1/nodes"))["items"]
        except ClusterRefusalError:
            return None
        return items

    def _log(self, pod: str, status: Document) -> str:
        # While it waits to be started again, the API gives the log of the one that ended.
        ended_before = "running" in status["state"] and bad_end(status) is not None
        query = (
            ("container", status["name"]),
            ("previous", str(ended_before).lower()),
            ("tailLines", _LOG_LINES),
        )
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        try:
            return self._get(path, query).decode(errors="replace")
        except (_NotThereError, _NoLogError, ClusterUnavailableError):
            # The pod or its node went away meanwhile, or the log is dropped: the rest still tells.
            return ""

    def _get(self, path: str, query: Query = ()) -> bytes:
        return self._ask("GET", path, query)

    def _ask(self, method: str, path: str, query: Query = ()) -> bytes:
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": "application/json, */*"},
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=_REQUEST_TIMEOUT)
            content = bytes(answer.read())
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            reason = blamed(str(exc), self._proxy, exc)
            raise ClusterUnavailableError(
                f"The API server {self._client.configuration.host} does not answer: {reason}"
            ) from exc
        if answer.status != http.client.OK:
            raise _refusal(answer.status, content)
        return content


class _NotThereError(ClusterRefusalError):
    """No such path: the kind is not installed, or the object has gone."""


class _NoLogError(ClusterRefusalError):
    """The container has none, or none any more."""


def _connect(context: str | None) -> tuple[ApiClient, Proxy | None, str]:
    """A client, its proxy, if any, and the namespace that goes with it."""
    if context is None and _SERVICE_ACCOUNT_NAMESPACE.is_file():
        try:
            client, proxy = open_client(config.load_incluster_config)
        except ConfigException as exc:
            raise ClusterConfigError(f"The pod's service account cannot be used: {exc}") from exc
        namespace = _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip()
        return client, proxy, namespace
    try:
        contexts, current = config.list_kube_config_contexts()
        client, proxy = open_client(partial(config.load_kube_config, None, context))
    except LOAD_ERRORS as exc:
        raise ClusterConfigError(
            f"No cluster can be asked: {exc}. Set KUBECONFIG to a kubeconfig, and --context to one "
            "of its contexts"
        ) from exc
    chosen = next((each for each in contexts if each["name"] == context), current)
    return client, proxy, chosen["context"].get("namespace") or "default"


def _refusal(status: int, content: bytes) -> ClusterUnavailableError | ClusterRefusalError:
    """What an answer other than 200 means; the API server says it in a Status object."""
    text = content.decode(errors="replace")
    try:
        said = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        said = text.strip()
    message = f"The API server answers {status}: {said}"
    if status == http.client.NOT_FOUND:
        return _NotThereError(message)
    if status == http.client.BAD_REQUEST:
        return _NoLogError(message)
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN):
        return ClusterRefusalError(f"{message}. Let it get and list this, by a Role")
    return ClusterUnavailableError(message)
