"""When an object counts as ready, waits, or has failed."""

import json
from typing import Any

import pytest

from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.cluster import Object
from local_platform.plugins.kubernetes.readiness.choice import check_for, timeout_of
from local_platform.plugins.kubernetes.readiness.conditions import check_wanted
from local_platform.plugins.kubernetes.readiness.job import JobCheck
from local_platform.plugins.kubernetes.readiness.jsonpath import find
from local_platform.plugins.kubernetes.readiness.pods import PodErrors, check_pod
from local_platform.plugins.kubernetes.readiness.services import check_service
from local_platform.plugins.kubernetes.readiness.state import Phase
from local_platform.plugins.kubernetes.readiness.storage import check_claim
from local_platform.plugins.kubernetes.readiness.workloads import (
    check_daemon_set,
    check_deployment,
    check_stateful_set,
)
from tests.local_platform.plugins.kubernetes_cluster import ScriptedCluster, thing

NOTHING = ScriptedCluster()
READY = {"type": "Ready", "status": "True"}


def conditions(*listed: Object, **more: Any) -> Object:
    return {"conditions": list(listed), **more}


def failed_pod(message: str = "", **state: Any) -> Object:
    ended = {"exitCode": 3, "reason": "Error", "message": message, **state}
    container = {"name": "main", "state": {"terminated": ended}}
    return thing("Pod", status={"phase": "Failed", "containerStatuses": [container]})


def test_a_job_that_runs_tells_how_far_it_is() -> None:
    state = JobCheck()(thing("Job", status={"active": 1, "failed": 2}), NOTHING)
    assert state.phase is Phase.WAITING
    assert state.message == (
        'Waiting for Job "default/it" to succeed (Active: 1 | Succeeded: 0 | Failed: 2)'
    )


def test_a_job_is_ready_when_it_has_succeeded() -> None:
    job = thing("Job", status=conditions({"type": "Complete", "status": "True"}))
    assert JobCheck()(job, NOTHING).phase is Phase.READY


def test_a_failed_job_tells_its_pods_last_words_though_they_are_deleted() -> None:
    cluster = ScriptedCluster(pods=[failed_pod("ROOT CAUSE: x")], logs="one\ntwo\n")
    check = JobCheck()
    check(thing("Job"), cluster)
    cluster.pods = []
    broken = {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit",
    }

    state = check(thing("Job", status=conditions(broken)), cluster)

    assert state.phase is Phase.FAILED
    assert state.problems == (
        "[Pod it]: [Error] ROOT CAUSE: x",
        "[BackoffLimitExceeded] Job has reached the specified backoff limit",
    )


def test_a_log_is_told_where_there_is_no_message() -> None:
    state = check_pod(PodErrors(), failed_pod(), ScriptedCluster(logs="one\ntwo\n"))
    assert state.problems[1:] == ("[Pod it]: last log lines of container main:\none\ntwo",)


def test_a_container_without_a_message_tells_its_exit_code() -> None:
    state = check_pod(PodErrors(), failed_pod(), NOTHING)
    assert state.problems == ("[Pod it]: [Error] container main exited with code 3",)


def test_a_pod_that_cannot_be_scheduled_or_pulled_tells_why() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    unscheduled = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "no GPU",
    }
    pod = thing(
        "Pod",
        status=conditions(
            unscheduled,
            phase="Pending",
            initContainerStatuses=[{"name": "a", "state": waiting}],
            containerStatuses=[{"name": "b", "state": {"waiting": {"reason": "PodInitializing"}}}],
        ),
    )
    state = check_pod(PodErrors(), pod, NOTHING)
    assert state.phase is Phase.WAITING
    assert state.problems == (
        "[Pod it]: [Unschedulable] no GPU",
        "[Pod it]: [ImagePullBackOff] no such image",
    )


@pytest.mark.parametrize("status", [conditions(READY, phase="Running"), {"phase": "Succeeded"}])
def test_a_pod_is_ready_when_it_serves_or_has_ended(status: Object) -> None:
    assert check_pod(PodErrors(), thing("Pod", status=status), NOTHING).phase is Phase.READY


@pytest.mark.parametrize(
    ("phase", "mode", "ready"),
    [
        ("Bound", "Immediate", Phase.READY),
        ("Pending", "WaitForFirstConsumer", Phase.READY),
        ("Pending", "Immediate", Phase.WAITING),
        ("Lost", "Immediate", Phase.FAILED),
    ],
)
def test_a_claim_is_ready_when_bound_or_bound_later(phase: str, mode: str, ready: Phase) -> None:
    cluster = ScriptedCluster(gets=[{"volumeBindingMode": mode}])
    claim = thing("PersistentVolumeClaim", spec={"storageClassName": "s"}, status={"phase": phase})
    assert check_claim(claim, cluster).phase is ready


def test_a_claim_of_a_class_that_does_not_exist_waits() -> None:
    claim = thing("PersistentVolumeClaim", spec={"storageClassName": "s"})
    assert check_claim(claim, NOTHING).phase is Phase.WAITING


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({}, Phase.WAITING),
        ({"observedGeneration": 0, "replicas": 2, "updatedReplicas": 2}, Phase.WAITING),
        (
            {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2},
            Phase.READY,
        ),
        (
            {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2},
            Phase.WAITING,
        ),
        (
            {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1},
            Phase.WAITING,
        ),
    ],
)
def test_a_deployment_is_ready_when_only_new_replicas_are_left(
    status: Object, ready: Phase
) -> None:
    deployment = thing("Deployment", spec={"replicas": 2}, status=status)
    assert check_deployment(PodErrors(), deployment, NOTHING).phase is ready


def test_a_deployment_fails_at_its_progress_deadline_with_its_pods_errors() -> None:
    late = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "late",
    }
    deployment = thing(
        "Deployment",
        spec={"replicas": 1, "selector": {"matchLabels": {"app": "a"}}},
        status=conditions(late, observedGeneration=1),
    )
    state = check_deployment(
        PodErrors(), deployment, ScriptedCluster(pods=[failed_pod("bad model")])
    )
    assert state.phase is Phase.FAILED
    assert state.problems == ("[Pod it]: [Error] bad model",)


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"updatedReplicas": 2, "readyReplicas": 2, "replicas": 2}, Phase.READY),
        ({"updatedReplicas": 1, "readyReplicas": 2, "replicas": 2}, Phase.WAITING),
        ({"updatedReplicas": 2, "readyReplicas": 1, "replicas": 2}, Phase.WAITING),
    ],
)
def test_a_stateful_set_is_ready_when_all_are_new_and_ready(status: Object, ready: Phase) -> None:
    revisions = {"observedGeneration": 1, "currentRevision": "a", "updateRevision": "b"}
    stateful_set = thing("StatefulSet", spec={"replicas": 2}, status={**revisions, **status})
    assert check_stateful_set(PodErrors(), stateful_set, NOTHING).phase is ready


@pytest.mark.parametrize(("updated", "ready"), [(2, Phase.READY), (1, Phase.WAITING)])
def test_a_daemon_set_is_ready_when_every_node_has_it(updated: int, ready: Phase) -> None:
    status = {
        "observedGeneration": 1,
        "desiredNumberScheduled": 2,
        "updatedNumberScheduled": updated,
        "numberAvailable": 2,
    }
    assert (
        check_daemon_set(PodErrors(), thing("DaemonSet", spec={}, status=status), NOTHING).phase
        is ready
    )


@pytest.mark.parametrize(
    ("spec", "endpoints", "ready"),
    [
        ({"type": "ExternalName"}, [], Phase.READY),
        ({"selector": {"a": "b"}, "clusterIP": "None"}, [], Phase.READY),
        ({"selector": {"a": "b"}}, [], Phase.WAITING),
        ({"selector": {"a": "b"}}, [{"conditions": {"ready": False}}], Phase.WAITING),
        ({"selector": {"a": "b"}}, [{"conditions": {"ready": True}}], Phase.READY),
        ({"selector": {"a": "b"}, "type": "LoadBalancer"}, [{}], Phase.WAITING),
    ],
)
def test_a_service_is_ready_when_it_leads_somewhere(
    spec: Object, endpoints: list[Object], ready: Phase
) -> None:
    cluster = ScriptedCluster(pods=[{"endpoints": endpoints}])
    assert check_service(thing("Service", spec=spec), cluster).phase is ready


STATUS = {
    "conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}],
    "phase": "Running",
    "count": 2,
    "flag": True,
    "with.dot": 1,
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("{.status.phase}", ["Running"]),
        (".status.phase", ["Running"]),
        ("status.phase", ["Running"]),
        ("{$.status.phase}", ["Running"]),
        ('{.status.conditions[?(@.type=="Ready")].status}', ["True"]),
        ("{.status.conditions[?(@.type=='Other')].status}", ["False"]),
        ("{.status.conditions[0].type}", ["Ready"]),
        ("{.status.conditions[-1].type}", ["Other"]),
        ("{.status.conditions[5].type}", []),
        ("{.status.conditions[*].type}", ["Ready", "Other"]),
        ("{.status['with.dot']}", [1]),
        (r"{.status.with\.dot}", [1]),
        ("{.status.nothing.at.all}", []),
    ],
)
def test_paths_find_values(path: str, values: list[object]) -> None:
    assert find(path, {"status": STATUS}) == values


@pytest.mark.parametrize("path", ["{..phase}", "{.a[0:2]}", "{.a[?(@.b>1)]}", "{range .a}"])
def test_a_path_that_is_not_supported_is_refused(path: str) -> None:
    with pytest.raises(PluginError, match="is not supported as a JSONPath"):
        find(path, {})


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("condition=Ready", ""),
        ("condition=Ready=true", ""),
        ("condition=Ready=False", "Resource has condition Ready=True (want False)"),
        ("condition=Missing", "Waiting for condition Missing (want True)"),
        ("jsonpath={.status.phase}", ""),
        ("jsonpath={.status.phase}=Running", ""),
        ("jsonpath=.status.count=2", ""),
        ("jsonpath=.status.flag=true", ""),
        ("jsonpath={.status.phase}=Done", "Resource has {.status.phase}=Running (want Done)"),
        ("jsonpath={.status.url}", "Waiting for a value at {.status.url}"),
        ('jsonpath={.status.conditions[?(@.type=="Ready")].status}=True', ""),
        (json.dumps(["condition=Ready", "jsonpath={.status.phase}=Running"]), ""),
        (
            json.dumps(["condition=Other", "jsonpath={.status.url}"]),
            "Resource has condition Other=False (want True); Waiting for a value at {.status.url}",
        ),
    ],
)
def test_annotations_say_what_to_wait_for(annotation: str, message: str) -> None:
    state = check_wanted(annotation)(thing(status=STATUS), NOTHING)
    assert state.message == message
    assert (state.phase is Phase.READY) is (not message)


def test_conditions_of_an_older_spec_are_not_believed() -> None:
    status = {**STATUS, "observedGeneration": 1}
    object_ = thing(metadata={"generation": 2}, status=status)
    assert check_wanted("condition=Ready")(object_, NOTHING).phase is Phase.WAITING


@pytest.mark.parametrize(
    "annotation", ["Ready", "condition=", "jsonpath", "event=x", "[1]", "[", '["condition"]']
)
def test_an_annotation_that_is_not_understood_is_refused(annotation: str) -> None:
    with pytest.raises(PluginError, match=r"pulumi\.com/waitFor: "):
        check_wanted(annotation)


def test_what_has_no_readiness_is_ready_at_once() -> None:
    assert check_for(thing("ConfigMap")) is None
    assert check_for(thing("Job", api_version="batch/v1")) is not None
    assert check_for(thing("Job", api_version="example.org/v1")) is None


def test_an_annotation_comes_before_the_kind_and_skipping_before_all() -> None:
    annotations = {"pulumi.com/waitFor": "condition=Ready"}
    job = thing("Job", api_version="batch/v1", metadata={"annotations": annotations})
    check = check_for(job)
    assert check is not None
    assert not isinstance(check, JobCheck)
    annotations["pulumi.com/skipAwait"] = "true"
    assert check_for(job) is None


def test_timeouts_come_from_the_program_then_the_annotation() -> None:
    annotated = thing(metadata={"annotations": {"pulumi.com/timeoutSeconds": "30"}})
    assert timeout_of(annotated, 5) == 5
    assert timeout_of(annotated, 0) == 30
    assert timeout_of(thing(), 0) == 600
    wrong = thing(metadata={"annotations": {"pulumi.com/timeoutSeconds": "soon"}})
    with pytest.raises(PluginError, match="must be a number of seconds; got 'soon'"):
        timeout_of(wrong, 0)
