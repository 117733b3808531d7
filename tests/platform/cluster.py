"""A namespace of the platform's cluster, used through the API as any program would."""

import http.client
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import DynamicApiError, NotFoundError

Document = dict[str, Any]

_PAUSE_S = 0.2
_MERGE_PATCH = "application/merge-patch+json"


class Namespace:
    """A namespace; kinds are named as `v1/Pod` or `serving.knative.dev/v1/Service`."""

    def __init__(self, client: DynamicClient, name: str) -> None:
        self.name = name
        self._client = client

    def create(self, manifest: Document) -> Document:
        """Create an object; a webhook or a service account that is not there yet is waited for."""
        kind = f"{manifest['apiVersion']}/{manifest['kind']}"
        deadline = time.monotonic() + 20
        while True:
            try:
                made: Document = self._ask("create", kind, body=manifest)
            except DynamicApiError as exc:
                # A namespace gets its service account, which pods need, a moment after it is made.
                if exc.status != http.client.FORBIDDEN or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)
            else:
                return made

    def find(self, kind: str, name: str) -> Document | None:
        """Return an object, or None."""
        try:
            found: Document = self._ask("get", kind, name=name)
        except NotFoundError:
            return None
        return found

    def get(self, kind: str, name: str) -> Document:
        """Return an object that exists."""
        found = self.find(kind, name)
        assert found is not None, f"{kind} {name} is gone"
        return found

    def items(self, kind: str, selector: str | None = None) -> list[Document]:
        """Return the objects of a kind, or those with certain labels."""
        items: list[Document] = self._ask("get", kind, label_selector=selector)["items"]
        return items

    def patch(self, kind: str, name: str, change: Document) -> None:
        """Change an object by a merge patch."""
        self._ask("patch", kind, name=name, body=change, content_type=_MERGE_PATCH)

    def delete(self, kind: str, name: str, seconds: float = 60) -> None:
        """Delete an object and wait until it is gone."""
        self.begin_deletion(kind, name)
        deadline = time.monotonic() + seconds
        while self.find(kind, name) is not None:
            assert time.monotonic() < deadline, f"{kind} {name} is still there after {seconds} s"
            time.sleep(_PAUSE_S)

    def begin_deletion(self, kind: str, name: str, grace_seconds: int | None = None) -> None:
        """Delete an object, by force where it gets no time, and do not wait."""
        options = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        self._ask("delete", kind, name=name, body=options)

    def wait(
        self, kind: str, name: str, condition: Callable[[Document], object], seconds: float = 60
    ) -> Document:
        """Wait until `condition` holds for an object; return the object."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(kind, name)
            if condition(found):
                return found
            if time.monotonic() > deadline or found.get("status", {}).get("phase") == "Failed":
                pytest.fail(f"{kind} {name} is not as awaited: {self._story(found)}")
            time.sleep(_PAUSE_S)

    def run(self, pod: Document, seconds: float = 60) -> str:
        """Run a pod to its end, which has to be a good one; return what it wrote."""
        name = self.create(pod)["metadata"]["name"]
        ended = self.wait("v1/Pod", name, has_ended, seconds)
        log = self.log(name)
        assert ended["status"]["phase"] == "Succeeded", f"pod {name} failed: {log}"
        return log

    def log(self, pod: str, **query: Any) -> str:
        """Return a pod's log; `query` as in the API."""
        # Not decoded by the client, which would take a log that happens to be JSON for a document.
        answer = self._client.request(
            "get",
            f"/api/v1/namespaces/{self.name}/pods/{pod}/log",
            query_params=list(query.items()),
            header_params={"Accept": "text/plain, application/json"},
            serialize=False,
        )
        return str(answer.data.decode())

    def _story(self, item: Document) -> str:
        """Return what there is to read about an object that is not as awaited."""
        lines = [json.dumps(item.get("status"))]
        lines += [
            f"{event['involvedObject']['name']}: {event.get('message')}"
            for event in self.items("v1/Event")
            if event.get("type") == "Warning"
        ]
        for pod in self.items("v1/Pod"):
            for container in pod["status"].get("containerStatuses", ()):
                name, state = container["name"], container["state"]
                if not container["ready"] and ("waiting" not in state or container["lastState"]):
                    lines.append(f"{pod['metadata']['name']}: {name}: {state}")
                    previous = {"container": name, "previous": "waiting" in state, "tailLines": 20}
                    lines.append(self.log(pod["metadata"]["name"], **previous))
        return "\n".join(lines)

    def _ask(self, action: str, kind: str, **arguments: Any) -> Any:
        api_version, _, short = kind.rpartition("/")
        resource = self._client.resources.get(api_version=api_version, kind=short)
        return getattr(self._client, action)(
            resource, namespace=self.name, serializer=_plain, **arguments
        )


def ready(item: Mapping[str, Any]) -> bool:
    """Return whether an object's condition Ready is true for its newest specification."""
    status = item.get("status", {})
    observed = status.get("observedGeneration", item["metadata"].get("generation"))
    return observed == item["metadata"].get("generation") and any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions", ())
    )


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Return whether a pod has ended, with success or not."""
    return pod["status"].get("phase") in {"Succeeded", "Failed"}


def bound(claim: Mapping[str, Any]) -> bool:
    """Return whether a claim has its volume."""
    return bool(claim["status"].get("phase") == "Bound")


def _plain(_: DynamicClient, body: Any) -> Any:
    return body
