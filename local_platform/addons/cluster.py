"""Reads and applies objects of the platform's API server, as plain JSON."""

import http
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.dynamic.exceptions import (
    DynamicApiError,
    NotFoundError,
    ResourceNotFoundError,
)

from local_platform.addons.manifests import Manifest, ObjectName, identity
from local_platform.api import Kinds, local_client
from local_platform.errors import ApiUnavailableError, ApplyError

FIELD_MANAGER: Final = "ft-serving-platform"

_CONNECTIONS: Final = 8

# Seconds to connect, and to wait for an answer: webhooks may take 30 s of it.
_REQUEST_TIMEOUT: Final = (5.0, 60.0)


class ClusterObjects:
    """A client of the API server that a kubeconfig names. Threads may share it.

    Every method may raise `ApiUnavailableError`, and `ApplyError` where the API server refuses.
    """

    def __init__(self, kubeconfig: Path) -> None:
        """Read the kubeconfig; nothing is asked yet. The user's own is never read."""
        try:
            client = local_client(kubeconfig)
        except (ConfigException, OSError) as exc:
            raise ApplyError(
                f"{kubeconfig} cannot be used: {exc}; start the platform: "
                "python -m local_platform up"
            ) from exc
        client.rest_client.pool_manager.connection_pool_kw["maxsize"] = _CONNECTIONS
        # Whoever waits here says for what, and asks again; urllib3's own attempts only add silence.
        client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        self._client = DynamicClient(client, discoverer=Kinds)

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object, or set our fields of it, by server-side apply.

        Args:
            manifest: The object's desired fields, with its name.
            dry_run: Whether the API server only checks the object and returns what it would be.
        """
        wanted = identity(manifest)
        with _translated(str(wanted)):
            applied: Manifest = self._client.server_side_apply(
                self._resource(manifest["apiVersion"], wanted.kind),
                body=manifest,
                name=wanted.name,
                namespace=wanted.namespace,
                field_manager=FIELD_MANAGER,
                force_conflicts=True,
                dry_run="All" if dry_run else None,
                # Upstream's manifests have fields that the CRDs of its own release do not know.
                query_params=[("fieldValidation", "Warn")],
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )
            return applied

    def get(self, api_version: str, wanted: ObjectName) -> Manifest | None:
        """Return an object as it is in the cluster, `None` when it is not there."""
        with _translated(str(wanted)):
            try:
                found: Manifest = self._client.get(
                    self._resource(api_version, wanted.kind),
                    name=wanted.name,
                    namespace=wanted.namespace,
                    serializer=_plain,
                    _request_timeout=_REQUEST_TIMEOUT,
                )
            except NotFoundError:
                return None
            return found

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> list[Manifest]:
        """Return the objects of a kind, of one namespace or of all, with these labels or any."""
        with _translated(f"objects of the kind {kind}"):
            answer = self._client.get(
                self._resource(api_version, kind),
                namespace=namespace,
                label_selector=selector,
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )
        # The items of a list do not repeat what they are.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in answer["items"]]

    def log(self, namespace: str, pod: str, container: str, *, lines: int, previous: bool) -> str:
        """Return the last lines that a container wrote, or the one before it that ended."""
        with _translated(f"the log of {namespace}/{pod}"):
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


def _plain(_: DynamicClient, body: dict[str, Any]) -> dict[str, Any]:
    return body


@contextmanager
def _translated(subject: str) -> Iterator[None]:
    try:
        yield
    except ResourceNotFoundError as exc:
        raise ApiUnavailableError(f"{subject}: {exc}") from exc
    except (urllib3.exceptions.HTTPError, OSError) as exc:
        raise ApiUnavailableError(f"{subject}: the API server is not reached: {exc}") from exc
    except DynamicApiError as exc:
        # A webhook without a pod behind it is answered for with 500, an API server that is still
        # starting or overrun answers 429 and 503.
        may_pass = exc.status is not None and (
            exc.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
            or exc.status == http.HTTPStatus.TOO_MANY_REQUESTS
        )
        error = ApiUnavailableError if may_pass else ApplyError
        raise error(f"{subject}: {_reason(exc)}") from exc


def _reason(exc: DynamicApiError) -> str:
    """Return the message of the Status object that comes with an answer, or what there is."""
    try:
        status = json.loads(exc.body or "{}")
    except ValueError:
        status = {}
    return str(status.get("message") or exc.body or f"{exc.status} {exc.reason}").strip()
