"""Objects to and from the platform's API server, as plain JSON."""

import http
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kubernetes.config.config_exception import ConfigException

from local_platform.addons.errors import ApplyError, UnavailableError
from local_platform.addons.manifests import Identity, Manifest, identity
from local_platform.plugins.kubernetes import cluster
from local_platform.plugins.kubernetes.errors import (
    ClusterError,
    NotFoundError,
    UnknownKindError,
    UnreachableError,
)

FIELD_MANAGER: Final = "ft-serving-platform"

_CONNECTIONS: Final = 8


class Cluster:
    """A client of the API server that a kubeconfig names. Threads may share it.

    Every method may raise `UnavailableError`, and `ApplyError` where the API server refuses.
    """

    def __init__(self, kubeconfig: Path) -> None:
        """Read the kubeconfig; nothing is asked yet. The user's own is never read."""
        try:
            client = cluster.local_client(kubeconfig)
        except (ConfigException, OSError) as exc:
            raise ApplyError(
                f"{kubeconfig} cannot be used: {exc}; start the platform: "
                "python -m local_platform up"
            ) from exc
        client.rest_client.pool_manager.connection_pool_kw["maxsize"] = _CONNECTIONS
        # Whoever waits here says for what, and asks again; urllib3's own attempts only add silence.
        client.rest_client.pool_manager.connection_pool_kw["retries"] = False
        self._cluster = cluster.Cluster(client, field_manager=FIELD_MANAGER)

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object, or bring our fields of it to what they should be."""
        with _translated(str(identity(manifest))):
            # Upstream's manifests have fields that the CRDs of its own release do not know.
            return self._cluster.apply(manifest, force=True, dry_run=dry_run, strict=False)

    def get(self, api_version: str, wanted: Identity) -> Manifest | None:
        """An object as it is in the cluster, `None` when it is not there."""
        with _translated(str(wanted)):
            try:
                return self._cluster.get(api_version, wanted.kind, wanted.namespace, wanted.name)
            except NotFoundError:
                return None

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> list[Manifest]:
        """The objects of a kind, of one namespace or of all, with certain labels or with any."""
        with _translated(f"objects of the kind {kind}"):
            found = self._cluster.list(api_version, kind, namespace, selector)
        # The items of a list do not repeat what they are.
        return [{"apiVersion": api_version, "kind": kind, **item} for item in found]

    def log(self, namespace: str, pod: str, container: str, *, lines: int, previous: bool) -> str:
        """The last lines that a container wrote, or the one before it that ended."""
        with _translated(f"the log of {namespace}/{pod}"):
            return self._cluster.log(namespace, pod, container, lines=lines, previous=previous)


@contextmanager
def _translated(subject: str) -> Iterator[None]:
    try:
        yield
    except (UnknownKindError, UnreachableError) as exc:
        raise UnavailableError(f"{subject}: {exc}") from exc
    except ClusterError as exc:
        # A webhook without a pod behind it is answered for with 500, an API server that is still
        # starting or overrun answers 429 and 503.
        may_pass = exc.status is not None and (
            exc.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
            or exc.status == http.HTTPStatus.TOO_MANY_REQUESTS
        )
        raise (UnavailableError if may_pass else ApplyError)(f"{subject}: {exc}") from exc
