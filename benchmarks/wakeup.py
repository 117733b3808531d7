"""Times the stages between a request to a service that is scaled to zero and its first token.

Kubernetes stamps most events in whole seconds. So the cluster is watched, and the time of an event
is when its news comes. The server's own times are those of its log, by the node's clock, which on
the embedded platform is the client's.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, watch
from kubernetes.dynamic import DynamicClient
from urllib3.exceptions import HTTPError

from benchmarks.vllm_start import parts_of_start
from ft_serving.cluster.documents import Document, condition
from tests.platform.cluster import Namespace

CONTAINER = "kserve-container"
_SELECTOR = "serving.kserve.io/inferenceservice"

STAGES: Mapping[str, tuple[str, str]] = {
    "activation": ("pod", "Knative has a pod made"),
    "scheduling": ("scheduled", "it gets a node"),
    "image": ("pulled", "the node pulls the server's image"),
    "container": ("started", "sandbox, network, volumes"),
    "Triton": ("loading", "the server starts"),
    "model": ("serving", "the model is loaded"),
    "readiness": ("routed", "requests that wait get there"),
    "first token": ("answered", "a request is answered"),
}
"""The stages of a wake-up, in their order, each with the moment that ends it and what happens."""

# Triton's log, of which the second line is its last before it answers.
_LOADING = re.compile(r'"loading: \w+:\d+"')
_SERVING = re.compile(r'"Started HTTPService at')


class Observer:
    """Notes when events of a service's pods happen."""

    def __init__(self, api: DynamicClient, namespace: str) -> None:
        self._core = client.CoreV1Api(api.client)
        self._namespace = Namespace(api, namespace)
        self._watches: list[watch.Watch] = []
        self._seen: dict[str, dict[str, float]] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the end of the context."""
        for listing, note in (
            (self._core.list_namespaced_pod, self._note_pod),
            (self._core.list_namespaced_event, self._note_event),
        ):
            self._start(listing, note)
        try:
            yield
        finally:
            for each in self._watches:
                each.stop()

    def pods(self) -> list[str]:
        """Return the names of the service's pods, also of those that are ending."""
        return [pod["metadata"]["name"] for pod in self._namespace.items("v1/Pod", _SELECTOR)]

    def stages(self, asked: float, routed: float, answered: float) -> dict[str, float]:
        """Return the seconds of each stage between a request and its answer.

        Args:
            asked: Time of the first request to the server; seconds since 1970.
            routed: Time of the answer to it.
            answered: Time of the first token.
        """
        (pod,) = [name for name in self.pods() if self._seen[name]["pod"] >= asked]
        seen = {**self._seen[pod], **self._logged(pod), "routed": routed, "answered": answered}
        # An image that is there is no stage.
        seen.setdefault("pulling", seen["pulled"])
        stages, before = {}, asked
        for stage, (mark, _) in STAGES.items():
            # News may come in another order than what they tell of.
            now = max(before, seen[mark])
            stages[stage] = now - before
            before = now
        # Between its node and the pull, the pod got its sandbox.
        waited = max(0.0, min(stages["image"], seen["pulling"] - seen["scheduled"]))
        stages["image"] -= waited
        stages["container"] += waited
        return stages

    def parts_of_model(self) -> dict[str, float]:
        """Return the seconds of the parts of the stage `model` that an engine writes in its log."""
        (pod, *_) = self.pods()
        return parts_of_start(self._namespace.log(pod, container=CONTAINER))

    def _start(self, listing: Callable[..., Any], note: Callable[[Any, float], None]) -> None:
        version = listing(self._namespace.name).metadata.resource_version
        watching = watch.Watch()
        self._watches.append(watching)

        def follow() -> None:
            # A watch that is stopped ends in an error.
            with suppress(HTTPError):
                for event in watching.stream(
                    listing, self._namespace.name, resource_version=version, timeout_seconds=600
                ):
                    note(event["raw_object"], time.time())

        threading.Thread(target=follow, daemon=True).start()

    def _note_pod(self, pod: Document, now: float) -> None:
        seen = self._seen.setdefault(pod["metadata"]["name"], {"pod": now})
        if condition(pod, "PodScheduled").get("status") == "True":
            seen.setdefault("scheduled", now)

    def _note_event(self, event: Document, now: float) -> None:
        concerned = event["involvedObject"]
        if concerned.get("fieldPath") == f"spec.containers{{{CONTAINER}}}":
            seen = self._seen.setdefault(concerned["name"], {"pod": now})
            seen.setdefault(event["reason"].lower(), now)

    def _logged(self, pod: str) -> dict[str, float]:
        text = self._namespace.log(pod, container=CONTAINER, timestamps=True)
        found = {}
        for line in text.splitlines():
            written, _, said = line.partition(" ")
            for mark, pattern in (("loading", _LOADING), ("serving", _SERVING)):
                if pattern.search(said):
                    found[mark] = _seconds(written)
        return found


def _seconds(written: str) -> float:
    """Return seconds since 1970 of a log's time, which has more digits than Python reads."""
    return datetime.fromisoformat(written[:26]).replace(tzinfo=UTC).timestamp()
