"""Objects to and from the platform's API server, as plain JSON."""

import http
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import urllib3
from kubernetes import config
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError

from local_platform.addons.errors import ApplyError, UnavailableError
from local_platform.addons.manifests import Identity, Manifest, identity
from local_platform.plugins.kubernetes.errors import UnknownKindError
from local_platform.plugins.kubernetes.kinds import Kinds

FIELD_MANAGER: Final = "ft-serving-platform"

_REQUEST_TIMEOUT: Final = (
    5.0,
    60.0,
)  # Seconds to connect and to wait; a webhook may take 30 of them.
_CONNECTIONS: Final = 8


class Cluster:
    """A client of the API server that a kubeconfig names. Threads may share it.

    Every method may raise `UnavailableError`, and `ApplyError` where the API server refuses.
    """

    def __init__(self, kubeconfig: Path) -> None:
        """Read the kubeconfig; nothing is asked yet. The user's own is never read."""
        try:
            client = config.new_client_from_config(config_file=str(kubeconfig))
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
        """Create an object, or bring our fields of it to what they should be."""
        with _translated(str(identity(manifest))):
            answer: Manifest = self._client.server_side_apply(
                self._client.resources.get(
                    api_version=manifest["apiVersion"], kind=manifest["kind"]
                ),
                body=manifest,
                name=manifest["metadata"]["name"],
                namespace=manifest["metadata"].get("namespace"),
                field_manager=FIELD_MANAGER,
                force_conflicts=True,
                dry_run="All" if dry_run else None,
                serializer=_plain,
                _request_timeout=_REQUEST_TIMEOUT,
            )
            return answer

    def get(self, api_version: str, wanted: Identity) -> Manifest | None:
        """An object as it is in the cluster, `None` when it is not there."""
        path = {"name": wanted.name, "namespace": wanted.namespace}
        with _translated(str(wanted)):
            try:
                return self._read(api_version, wanted.kind, **path)
            except DynamicApiError as exc:
                if exc.status == http.HTTPStatus.NOT_FOUND:
                    return None
                raise

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> list[Manifest]:
        """The objects of a kind, of one namespace or of all, with certain labels or with any."""
        with _translated(f"objects of the kind {kind}"):
            found = self._read(api_version, kind, namespace=namespace, label_selector=selector)
            # The items of a list do not repeat what they are.
            return [{"apiVersion": api_version, "kind": kind, **item} for item in found["items"]]

    def log(self, namespace: str, pod: str, container: str, *, lines: int, previous: bool) -> str:
        """The last lines that a container wrote, or the one before it that ended."""
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
            return str(answer.data.decode(errors="replace"))

    def _read(self, api_version: str, kind: str, **arguments: str | None) -> Manifest:
        answer: Manifest = self._client.get(
            self._client.resources.get(api_version=api_version, kind=kind),
            serializer=_plain,
            _request_timeout=_REQUEST_TIMEOUT,
            **arguments,
        )
        return answer


def _plain(_: DynamicClient, body: Manifest) -> Manifest:
    return body


@contextmanager
def _translated(subject: str) -> Iterator[None]:
    try:
        yield
    except UnknownKindError as exc:
        raise UnavailableError(f"{subject}: {exc}") from exc
    except DynamicApiError as exc:
        # A webhook without a pod behind it is answered for with 500, an API server that is still
        # starting or overrun answers 429 and 503.
        may_pass = (
            exc.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
            or exc.status == http.HTTPStatus.TOO_MANY_REQUESTS
        )
        kind = UnavailableError if may_pass else ApplyError
        raise kind(f"{subject}: {_message(exc)}") from exc
    except (OSError, urllib3.exceptions.HTTPError) as exc:
        raise UnavailableError(f"{subject}: the API server did not answer: {exc}") from exc


def _message(exc: DynamicApiError) -> str:
    """What the API server said, from the Status object that comes with a refusal."""
    try:
        status: dict[str, Any] = json.loads(exc.body or "{}")
    except ValueError:
        status = {}
    return str(status.get("message") or exc.body or f"{exc.status} {exc.reason}").strip()
