"""Applies objects with kubectl, and tells what is not ready and why."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local_platform.addons import cluster, readiness
from local_platform.addons.cluster import Cluster, apply_all
from local_platform.addons.manifests import Manifest
from local_platform.errors import ApiUnavailableError, ApplyError, PlatformError

NOWHERE = Path("/nowhere")


@dataclass(frozen=True, kw_only=True)
class FakeCluster(Cluster):
    """A cluster whose kubectl is a function of its arguments and what it is given."""

    answer: Callable[[tuple[str, ...], Any], str]
    kubectl: Path = NOWHERE
    kubeconfig: Path = NOWHERE
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def ask(self, *arguments: str, given: object = None) -> str:
        self.asked.append(arguments)
        return self.answer(arguments, given)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_PAUSE_S", 0.001)
    monkeypatch.setattr(readiness, "_PAUSE_S", 0.001)


def manifest(kind: str, name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}


def applied(failures: Mapping[str, list[Any]], *objects: Manifest) -> tuple[list[str], str]:
    """Apply objects of which some kinds fail; return the names that were taken, and the reports."""
    taken: list[str] = []
    told: list[str] = []

    def answer(arguments: tuple[str, ...], given: Any) -> str:
        if arguments[0] == "wait":
            taken.append(f"waited for {arguments[-1]}")
            return ""
        if failing := failures.get(given["items"][0]["kind"]):
            raise failing.pop(0)
        taken.extend(one["metadata"]["name"] for one in given["items"])
        return ""

    apply_all(FakeCluster(answer=answer), objects, told.append, time.monotonic() + 0.1)
    return taken, "\n".join(told)


def test_all_refusals_are_told_at_once_and_not_tried_again() -> None:
    failures = {"ConfigMap": [ApplyError("a: bad")], "Secret": [ApplyError("b: worse")]}
    with pytest.raises(ApplyError, match=r"did not take all objects:\na: bad\nb: worse$"):
        applied(failures, manifest("ConfigMap", "a"), manifest("Secret", "b"))
    endless = {"ConfigMap": [ApiUnavailableError("a: not yet")] * 10_000}
    with pytest.raises(ApplyError, match=r"\na: not yet$"):
        applied(endless, manifest("ConfigMap", "a"))


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        ('Error from server (InternalError): failed calling webhook "x": refused', False),
        ("The connection to the server 127.0.0.1:6443 was refused", False),
        ("error: resource mapping not found: no matches for kind", False),
        ("Error from server (BadRequest): admission webhook denied the request", True),
        ("noise\nError from server (Forbidden): no", True),
        ('The ConfigMap "x" is invalid: metadata.name', True),
    ],
)
def test_an_error_of_kubectl_may_pass_unless_an_object_is_refused(
    tmp_path: Path, said: str, refused: bool
) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    kubectl.chmod(0o755)
    with pytest.raises(ApplyError) as caught:
        Cluster(kubectl=kubectl, kubeconfig=NOWHERE).apply([])
    assert str(caught.value) == said
    assert isinstance(caught.value, ApiUnavailableError) is not refused


def deployment(namespace: str, name: str, **status: int) -> Manifest:
    return {
        "metadata": {"namespace": namespace, "name": name, "generation": 3},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name, "role": "x"}}},
        "status": {
            "observedGeneration": 3, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
            **status,
        },
    }  # fmt: skip


DEPLOYMENTS = [deployment(namespace, name) for namespace, name in readiness.DEPLOYMENTS]


def in_state(deployments: list[Manifest]) -> FakeCluster:
    def answer(arguments: tuple[str, ...], _: Any) -> str:
        match arguments[:2]:
            case "get", "deployments":
                return json.dumps({"items": deployments})
            case "get", "pods":
                return "NAME READY STATUS\nweb-1 0/1 CrashLoopBackOff"
            case "events", _:
                return "\n".join(f"event {number}" for number in range(10))
            case "logs", _:
                raise ApplyError("no log yet")
        assert "--dry-run=server" in arguments, "a question must leave nothing behind"
        return ""

    return FakeCluster(answer=answer)


@pytest.fixture(autouse=True)
def answering_ingress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_ingress", lambda: "")


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"availableReplicas": 0}, id="none available"),
        pytest.param({"updatedReplicas": 0}, id="of an old template"),
        pytest.param({"replicas": 2}, id="the old one still there"),
        pytest.param({"observedGeneration": 2}, id="not looked at yet"),
    ],
)
def test_a_deployment_is_ready_when_all_its_pods_are_new_and_ready(status: dict[str, int]) -> None:
    namespace, name = readiness.DEPLOYMENTS[0]
    states = readiness.status(in_state([deployment(namespace, name, **status), *DEPLOYMENTS[1:]]))
    assert [part for part, reason in states.items() if reason] == [name]


def test_what_is_missing_is_named_with_its_reason_when_time_is_up() -> None:
    with pytest.raises(PlatformError, match=r"\ncoredns: it is not in the cluster$"):
        readiness.wait_ready(in_state(DEPLOYMENTS[1:]), print, time.monotonic())


def test_an_api_server_that_does_not_answer_is_the_reason_of_every_part() -> None:
    def refuse(*_: object) -> str:
        raise ApiUnavailableError("refused")

    parts = readiness.status(FakeCluster(answer=refuse))
    assert set(list(parts.values())[:-1]) == {"refused"}, "the ingress answers"
