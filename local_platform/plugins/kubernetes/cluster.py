"""Requests to an API server, and what its refusals mean."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.dynamic.exceptions import DynamicApiError

from local_platform.plugins.kubernetes.errors import (
    ClusterError,
    FieldConflictError,
    InvalidError,
    NotFoundError,
    UnreachableError,
)
from local_platform.plugins.kubernetes.kinds import Kinds

FIELD_MANAGER = "pulumi-kubernetes"
"""The owner of the fields that programs set: one for all stacks, so that a stack can take over what
another one retained."""

_REQUEST_TIMEOUT = (5.0, 60.0)
"""Seconds to connect, and to wait for an answer: webhooks may take 30 s of it."""

Object = dict[str, Any]
"""An object of the API, as JSON has it."""


def local_client(kubeconfig: Path) -> ApiClient:
    """Return a client of an API server on this machine, which no proxy of the environment reaches.

    Raises:
        ConfigException: The kubeconfig names no server, or is no kubeconfig.
        OSError: It cannot be read.
    """
    configuration = Configuration()
    configuration.proxy = None
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return ApiClient(configuration)


class Cluster:
    """One API server, its objects as plain JSON.

    Every method may raise `ClusterError` or one of its kinds.
    """

    def __init__(self, client: ApiClient, *, field_manager: str = FIELD_MANAGER) -> None:
        self._field_manager = field_manager
        self._server = client.configuration.host
        self._client = DynamicClient(client, discoverer=Kinds)

    def namespaced(self, api_version: str, kind: str) -> bool:
        """Whether objects of a kind live in namespaces."""
        with self._translated():
            return bool(self._resource(api_version, kind).namespaced)

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object:
        """An object as it is now."""
        with self._translated():
            answer: Object = self._client.get(
                self._resource(api_version, kind),
                name=name,
                namespace=namespace,
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )
            return answer

    def list(
        self, api_version: str, kind: str, namespace: str | None, label_selector: str | None
    ) -> list[Object]:
        """The objects of one namespace or of all, with certain labels or with any."""
        with self._translated():
            answer = self._client.get(
                self._resource(api_version, kind),
                namespace=namespace,
                label_selector=label_selector,
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )
            return list(answer["items"])

    def apply(
        self, manifest: Object, *, force: bool = False, dry_run: bool = False, strict: bool = True
    ) -> Object:
        """Creates or changes an object by server-side apply.

        Args:
            manifest: The object's desired fields, with its name.
            force: Whether to take fields over that other managers own.
            dry_run: Whether to learn only what would come of it.
            strict: Whether fields unknown to the object's kind are errors.
        """
        metadata = manifest["metadata"]
        with self._translated():
            answer: Object = self._client.server_side_apply(
                self._resource(manifest["apiVersion"], manifest["kind"]),
                body=manifest,
                name=metadata["name"],
                namespace=metadata.get("namespace"),
                field_manager=self._field_manager,
                force_conflicts=force,
                dry_run="All" if dry_run else None,
                query_params=[("fieldValidation", "Strict" if strict else "Warn")],
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )
            return answer

    def delete(
        self, api_version: str, kind: str, namespace: str | None, name: str, *, propagation: str
    ) -> None:
        """Asks for an object's deletion, and does not wait for it."""
        with self._translated():
            self._client.delete(
                self._resource(api_version, kind),
                name=name,
                namespace=namespace,
                body={"propagationPolicy": propagation},
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )

    def log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False
    ) -> str:
        """The last lines that a container wrote, or the one before it that ended."""
        with self._translated():
            answer = self._client.request(
                "get",
                f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
                query_params=[
                    ("container", container),
                    ("tailLines", lines),
                    ("previous", str(previous).lower()),
                ],
                header_params={"Accept": "text/plain, application/json"},
                serialize=False,
                _request_timeout=_REQUEST_TIMEOUT,
            )
            return str(answer.data.decode("utf-8", "replace"))

    def _resource(self, api_version: str, kind: str) -> Resource:
        resource: Resource = self._client.resources.get(api_version=api_version, kind=kind)
        return resource

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except DynamicApiError as exc:
            raise _error(exc) from exc
        except (urllib3.exceptions.HTTPError, OSError) as exc:
            raise UnreachableError(
                f"configured Kubernetes cluster is unreachable: {self._server}: {exc}"
            ) from exc


def _plain(_: DynamicClient, body: Object) -> Object:
    return body


def _error(exc: DynamicApiError) -> ClusterError:
    """The error for an answer that is no success, from the Status object that comes with it."""
    try:
        status = json.loads(exc.body or "{}")
    except ValueError:
        status = {}
    message = str(status.get("message") or exc.body or f"{exc.status} {exc.reason}").strip()
    causes = (status.get("details") or {}).get("causes") or ()
    by_code: dict[int, Callable[..., ClusterError]] = {404: NotFoundError, 422: InvalidError}
    if exc.status == 409 and any(cause["reason"] == "FieldManagerConflict" for cause in causes):
        return FieldConflictError(
            f"{message}. Leave these fields out of the program, or set the annotation "
            '`pulumi.com/patchForce: "true"` to take them over',
            causes=causes,
            status=exc.status,
        )
    return by_code.get(exc.status, ClusterError)(message, causes=causes, status=exc.status)
