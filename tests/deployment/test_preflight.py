"""On the platform, preflight finds nothing, and then each lack that is made."""

import json
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from local_platform.settings import KUBECONFIG
from operations.preflight.checks import check
from operations.preflight.cluster import read_facts
from operations.preflight.facts import PreflightFinding, Severity
from operations.preflight.needs import needs_of
from tests.deployment.program import Deployment, platform_settings
from tests.platform.kubectl import Namespace
from tests.platform.waiting import wait_until
from tests.stacks.documents import config

pytestmark = pytest.mark.platform

KNATIVE = Namespace("knative-serving")
KSERVE = Namespace("kserve")
FLAG = "kubernetes.podspec-persistent-volume-claim"


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    made = Namespace(f"preflight-{secrets.token_hex(4)}")
    made.kubectl("create", "namespace", made.name)
    made.kubectl("label", "namespace", made.name, "pod-security.kubernetes.io/enforce=restricted")
    yield made
    made.kubectl("delete", "namespace", made.name, "--wait=false")


def found(
    namespace: str, changes: Mapping[str, Any] | None = None, kubeconfig: Path = KUBECONFIG
) -> dict[str, PreflightFinding]:
    """The findings for the stack `dev` in a namespace, by their subject."""
    settings = config(platform_settings(namespace, changes))
    wanted = needs_of("test", settings, None)
    facts = read_facts(wanted, kubeconfig=str(kubeconfig), context=None)
    # Other tests' stacks may take the cores of the one node meanwhile.
    return {each.what: each for each in check(wanted, facts) if each.what != "Room on nodes"}


def test_the_platform_lacks_nothing(namespace: Namespace) -> None:
    assert found(namespace.name) == {}
    assert found("preflight-not-made") == {}, "the program makes the namespace"


def test_all_that_the_cluster_lacks_is_found_at_once() -> None:
    image = f"localhost:5000/ft-serving/nosuch@sha256:{'0' * 64}"
    changes = {
        "storage.storageClass": "nosuch",
        "image.registry": "localhost:9",
        "image.weights": {"existing": image},
    }
    findings = found("preflight-not-made", changes)
    assert findings.keys() == {"StorageClass nosuch", "Registry localhost:9", f"Image {image}"}
    assert findings["StorageClass nosuch"].found == "no such class; there are: ft-serving-shared"
    assert "refused" in findings["Registry localhost:9"].found


def test_a_user_with_few_permissions_is_told_those_that_are_missing(
    namespace: Namespace, tmp_path: Path
) -> None:
    namespace.kubectl("create", "serviceaccount", "narrow")
    namespace.kubectl(
        "create", "role", "narrow", "--verb=get,list,watch,create,delete,patch",
        "--resource=pods,jobs.batch,persistentvolumeclaims",
    )  # fmt: skip
    namespace.kubectl(
        "create", "rolebinding", "narrow", "--role=narrow",
        f"--serviceaccount={namespace.name}:narrow",
    )  # fmt: skip

    def may() -> bool:
        account = f"--as=system:serviceaccount:{namespace.name}:narrow"
        try:
            return bool(namespace.kubectl("auth", "can-i", "create", "jobs.batch", account))
        except subprocess.CalledProcessError:
            return False

    wait_until(may, "the binding is not in force")
    token = namespace.kubectl("create", "token", "narrow").strip()
    kubeconfig = yaml.safe_load(KUBECONFIG.read_text())
    for user in kubeconfig["users"]:
        user["user"] = {"token": token}
    narrow = tmp_path / "kubeconfig"
    narrow.write_text(yaml.safe_dump(kubeconfig))

    findings = found(namespace.name, kubeconfig=narrow)

    where = f"in namespace {namespace.name}"
    denied = {what for what in findings if what.startswith("Permission for")}
    assert f"Permission for inferenceservices.serving.kserve.io {where}" in denied
    assert "Permission for namespaces" in denied
    assert f"Permission for jobs.batch {where}" not in denied
    assert findings["Reading the cluster"].severity is Severity.WARNING


def test_a_preview_and_an_up_end_before_they_change_anything(tmp_path: Path) -> None:
    changes = {"cluster.preflight": "stop", "storage.storageClass": "nosuch"}
    name = f"preflight-{secrets.token_hex(4)}"
    deployment = Deployment(tmp_path, name, platform_settings(name, changes))
    for report in (deployment.preview(), deployment.up()):
        assert not report.succeeded
        assert "The cluster is not ready, and nothing was changed" in report.messages
        assert "StorageClass nosuch: found no such class" in report.messages
        assert "Traceback" not in report.messages
        assert report.steps == []
    deployment.change({"storage.storageClass": "ft-serving-shared"})
    report = deployment.preview()
    assert report.succeeded, report.messages
    assert set(report.operations("storage")) == {"create"}


@pytest.mark.exclusive
def test_a_flag_that_knative_lacks_is_found_and_its_remedy_mends_it(namespace: Namespace) -> None:
    # The tests before took parts of the platform away.
    wait_until(lambda: not found(namespace.name), "the platform still lacks something", 90)
    with changed_map("config-features", FLAG, "disabled"):
        (finding,) = found(namespace.name).values()
        assert finding.what == f"Knative's {FLAG}"
        assert finding.found == "disabled"
        patch = finding.remedy.split("'")[1]
        assert json.loads(patch) == {"data": {FLAG: "enabled"}}
        KNATIVE.kubectl("patch", "configmap", "config-features", "--type=merge", f"--patch={patch}")
        assert found(namespace.name) == {}


@pytest.mark.exclusive
def test_a_kserve_that_does_not_run_is_found(namespace: Namespace) -> None:
    controller = "kserve-controller-manager"
    try:
        KSERVE.kubectl("scale", "deployment", controller, "--replicas=0")
        KSERVE.kubectl(
            "wait", "pods", f"--selector=control-plane={controller}", "--for=delete",
            "--timeout=60s",
        )  # fmt: skip
        # The Service's endpoints follow the pods.
        deadline = time.monotonic() + 30
        while "KServe's webhook" not in (findings := found(namespace.name)):
            assert time.monotonic() < deadline, findings
        assert findings[f"KServe's {controller}"].found == "scaled to 0"
        command = findings[f"KServe's {controller}"].remedy.split("`")[1]
        assert command.endswith(f"scale deployment {controller} --replicas 1")
    finally:
        KSERVE.kubectl("scale", "deployment", controller, "--replicas=1")
        KSERVE.kubectl("rollout", "status", "deployment", controller, "--timeout=120s")


@contextmanager
def changed_map(name: str, key: str, value: str) -> Iterator[None]:
    """One of Knative's ConfigMaps with another value, and as it was afterwards."""
    was = KNATIVE.get("configmap", name)["data"].get(key)
    KNATIVE.patch("configmap", name, {"data": {key: value}})
    try:
        yield
    finally:
        KNATIVE.patch("configmap", name, {"data": {key: was}})
