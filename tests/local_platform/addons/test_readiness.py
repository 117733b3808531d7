"""What is not ready, and why."""

import time
from typing import Any

import pytest

from local_platform import settings
from local_platform.addons import readiness
from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.manifests import Manifest
from local_platform.addons.pods import explain
from local_platform.errors import ApiUnavailableError, ApplyError, PlatformError


def _deployment(namespace: str, name: str, **status: int) -> Manifest:
    return {
        "metadata": {"namespace": namespace, "name": name, "generation": 3},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name, "role": "x"}}},
        "status": {"observedGeneration": 3, "replicas": 1, "updatedReplicas": 1} | status,
    }


def _pod(**status: Any) -> Manifest:
    return {
        "metadata": {
            "namespace": "space",
            "name": "web-1",
            "creationTimestamp": "2026-03-01T00:00:00Z",
        },
        "status": status,
    }


def _container(state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "web", "ready": False, "state": state} | more


class StaticCluster(ClusterObjects):
    """A cluster in one state."""

    def __init__(
        self,
        deployments: list[Manifest] | None = None,
        pods: list[Manifest] | None = None,
        refusal: ApplyError | None = None,
    ) -> None:
        self.deployments = deployments or []
        self._pods = pods or []
        self._refusal = refusal
        self.selectors: list[str | None] = []
        self.logs: list[bool] = []

    def list(
        self, api_version: str, kind: str, namespace: str | None = None, selector: str | None = None
    ) -> list[Manifest]:
        if self._refusal is not None:
            raise self._refusal
        if kind == "Deployment":
            return self.deployments
        self.selectors.append(selector)
        return self._pods

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        assert dry_run, "a question must leave nothing behind"
        if self._refusal is not None:
            raise self._refusal
        return manifest

    def log(self, namespace: str, pod: str, container: str, *, lines: int, previous: bool) -> str:
        self.logs.append(previous)
        return "line 1\nline 2\n"


def _all_available() -> list[Manifest]:
    return [
        _deployment(namespace, name, availableReplicas=1)
        for namespace, name in readiness.DEPLOYMENTS
    ]


@pytest.fixture(autouse=True)
def answering_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = readiness.PartStatus(name="ingress", ready=True)
    monkeypatch.setattr(readiness, "_ingress", lambda: answered)
    monkeypatch.setattr(readiness, "_PAUSE_S", 0.001)


def test_a_platform_whose_parts_all_answer_is_ready() -> None:
    told: list[str] = []
    readiness.wait_ready(StaticCluster(_all_available()), told.append, time.monotonic() + 5)
    (line,) = told
    assert line.startswith("ready: coredns, traefik, activator,")
    assert line.endswith("Knative's webhook, KServe's webhook, ingress")


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="none available"),
        pytest.param({"availableReplicas": 1, "updatedReplicas": 0}, id="of an old template"),
        pytest.param({"availableReplicas": 1, "replicas": 2}, id="the old one still there"),
        pytest.param({"availableReplicas": 1, "observedGeneration": 2}, id="not looked at yet"),
    ],
)
def test_a_deployment_is_ready_when_all_its_pods_are_new_and_ready(status: dict[str, int]) -> None:
    deployments = _all_available()
    deployments[0] = _deployment(settings.NAMESPACE, "coredns", **status)
    (missing,) = [part for part in readiness.status(StaticCluster(deployments)) if not part.ready]
    assert missing.name == "coredns"


def test_what_is_missing_is_named_with_its_reason_when_time_is_up() -> None:
    with pytest.raises(PlatformError, match=r"\ncoredns: it is not in the cluster$"):
        readiness.wait_ready(StaticCluster(_all_available()[1:]), print, time.monotonic())


def test_an_api_server_that_does_not_answer_is_the_reason_of_every_part() -> None:
    refusal = ApiUnavailableError("the API server did not answer: refused")
    parts = readiness.status(StaticCluster(refusal=refusal))
    messages = {part.message for part in parts if part.name != "ingress"}
    assert messages == {"the API server did not answer: refused"}


@pytest.mark.parametrize(
    ("pods", "reason"),
    [
        pytest.param([], "its pods are being replaced", id="no pod"),
        pytest.param(
            [
                _pod(
                    conditions=[{"type": "PodScheduled", "status": "False", "message": "no memory"}]
                )
            ],
            "pod web-1 has no node: no memory",
            id="no node",
        ),
        pytest.param(
            [_pod(conditions=None)],
            "pod web-1: the node has not started it yet",
            id="no container",
        ),
        pytest.param(
            [
                _pod(
                    containerStatuses=[
                        _container({"waiting": {"reason": "ErrImagePull", "message": "not found"}})
                    ]
                )
            ],
            "pod web-1: ErrImagePull not found",
            id="no image",
        ),
        pytest.param(
            [_pod(containerStatuses=[_container({"running": {}})])],
            "pod web-1: it runs and does not call itself ready yet\n    line 1\n    line 2",
            id="not ready",
        ),
        pytest.param(
            [
                _pod(
                    containerStatuses=[
                        _container(
                            {"waiting": {"reason": "CrashLoopBackOff"}},
                            lastState={"terminated": {"exitCode": 2, "reason": "Error"}},
                        )
                    ]
                )
            ],
            "pod web-1: CrashLoopBackOff; before that it ended with status 2 (Error)\n"
            "    line 1\n    line 2",
            id="crashing",
        ),
    ],
)
def test_a_pod_says_why_it_is_not_ready(pods: list[Manifest], reason: str) -> None:
    cluster = StaticCluster(pods=pods)
    assert explain(cluster, _deployment("space", "web")) == reason
    assert cluster.selectors == ["app=web,role=x"]


def test_the_log_of_a_crashed_container_is_that_of_its_last_run() -> None:
    crashed = _container(
        {"waiting": {"reason": "CrashLoopBackOff"}}, lastState={"terminated": {"exitCode": 1}}
    )
    cluster = StaticCluster(pods=[_pod(containerStatuses=[crashed])])
    explain(cluster, _deployment("space", "web"))
    assert cluster.logs == [True]


def test_a_replica_set_that_may_not_make_pods_is_quoted() -> None:
    deployment = _deployment("space", "web")
    deployment["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"}
    ]
    assert explain(StaticCluster(), deployment) == "exceeded quota"
