"""Opens the platform's Kubernetes API: its client, and where the server serves a kind."""

import threading
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.dynamic.exceptions import NotFoundError, ResourceNotFoundError


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


class Kinds:
    """A discoverer for the dynamic client: looks up one API version at a time.

    The dynamic client's own discoverers read every API group when they start and share a cache file
    between processes. On the platform kinds appear while add-ons are being applied, and a look-up
    of all groups takes a second.
    """

    def __init__(self, client: DynamicClient, _cache_file: str | None = None) -> None:
        self._client = client
        self._found: dict[tuple[str, str], Resource] = {}
        self._lock = threading.Lock()

    def get(self, *, api_version: str, kind: str) -> Resource:
        """Return the resource of a kind.

        Raises:
            ResourceNotFoundError: The API server does not serve the kind.
        """
        with self._lock:
            if (api_version, kind) not in self._found:
                self._found.update(self._served(api_version))
            if (api_version, kind) in self._found:
                return self._found[api_version, kind]
        raise ResourceNotFoundError(f'The API server serves no kind "{kind}" in {api_version}')

    def _served(self, api_version: str) -> dict[tuple[str, str], Resource]:
        group, _, version = api_version.rpartition("/")
        prefix = "apis" if group else "api"
        try:
            answer = self._client.request(
                "get", f"/{prefix}/{api_version}", serializer=lambda _, body: body
            )
        except NotFoundError:
            return {}
        return {
            (api_version, served["kind"]): self._resource(prefix, group, version, served)
            for served in answer["resources"]
            if "/" not in served["name"]
        }

    def _resource(self, prefix: str, group: str, version: str, served: dict[str, Any]) -> Resource:
        return Resource(
            prefix=prefix,
            group=group,
            api_version=version,
            kind=served["kind"],
            name=served["name"],
            namespaced=served["namespaced"],
            client=self._client,
        )
