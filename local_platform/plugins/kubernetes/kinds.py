"""Where the API server serves a kind, by its own account."""

import threading
from typing import Any

from kubernetes.dynamic import DynamicClient, Resource
from kubernetes.dynamic.exceptions import NotFoundError

from local_platform.plugins.kubernetes.errors import UnknownKindError


class Kinds:
    """Looks kinds up one API version at a time, and remembers those it found.

    The dynamic client's own discoverers read every API group at the start and share a file between
    processes; a plugin starts for every command, and kinds come and go while it runs.
    """

    def __init__(self, client: DynamicClient, _cache_file: str | None = None) -> None:
        self._client = client
        self._found: dict[tuple[str, str], Resource] = {}
        self._lock = threading.Lock()

    def get(self, *, api_version: str, kind: str) -> Resource:
        """The resource of a kind.

        Raises:
            UnknownKindError: The API server does not serve it.
        """
        with self._lock:
            if (api_version, kind) not in self._found:
                self._found.update(self._served(api_version))
            if (api_version, kind) in self._found:
                return self._found[api_version, kind]
        raise UnknownKindError(
            f'no matches for kind "{kind}" in version "{api_version}": the API server does not '
            "serve it; make the resource depend on the one that installs its "
            "CustomResourceDefinition"
        )

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
