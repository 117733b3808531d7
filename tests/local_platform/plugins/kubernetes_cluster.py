"""A cluster of which a test says what it answers."""

from collections.abc import Callable, Sequence
from typing import Any

from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.errors import NotFoundError


class ScriptedCluster(Cluster):
    """Answers from lists; an exception in a list is raised, the last item is answered for ever."""

    def __init__(
        self,
        *,
        gets: Sequence[Object | Exception] = (),
        planned: Object | Exception | None = None,
        pods: Sequence[Object] = (),
        logs: str = "",
    ) -> None:
        self._gets = list(gets)
        self._planned = planned
        self.pods = list(pods)
        self._logs = logs
        self.on_get: Callable[[], None] = lambda: None

    def namespaced(self, api_version: str, kind: str) -> bool:
        return kind != "Namespace"

    def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Object:
        self.on_get()
        if not self._gets:
            raise NotFoundError(f"{kind} {name} not found")
        answer = self._gets.pop(0) if len(self._gets) > 1 else self._gets[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def list(
        self, api_version: str, kind: str, namespace: str | None, label_selector: str | None
    ) -> list[Object]:
        return self.pods

    def apply(
        self, manifest: Object, *, force: bool = False, dry_run: bool = False, strict: bool = True
    ) -> Object:
        assert dry_run, "nothing here may change a cluster"
        if isinstance(self._planned, Exception):
            raise self._planned
        return self._planned or manifest

    def log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False
    ) -> str:
        return self._logs


def thing(kind: str = "Gadget", *, api_version: str = "v1", **fields: Any) -> Object:
    """An object named `default/it`."""
    metadata = {"name": "it", "namespace": "default", "uid": "1", "generation": 1}
    metadata |= fields.pop("metadata", {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
