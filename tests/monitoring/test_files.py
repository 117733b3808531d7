"""The files in `monitoring/` agree with each other and with the program."""

import re

import pytest

from components import kserve, storage, transformer
from components.cluster import PART, labels
from ft_serving.server.vllm.statistics import ENGINE_METRICS
from tests.monitoring.files import (
    FOLDER,
    KNATIVE,
    KUBELET,
    OF_KUBE_STATE_METRICS,
    OF_PROMETHEUS,
    TRITON,
    VLLM,
    Document,
    alerts,
    dashboard,
    documents,
    expressions,
    metrics,
)


def test_every_metric_is_of_a_known_source() -> None:
    unknown = metrics() - OF_KUBE_STATE_METRICS - OF_PROMETHEUS
    known = (*TRITON, VLLM, KNATIVE, KUBELET)
    assert {name for name in unknown if not name.startswith(known)} == set()
    assert not OF_KUBE_STATE_METRICS - metrics(), "what nothing names is not to be listed"


def test_the_dashboard_has_all_that_vllm_tells() -> None:
    assert {name for name in metrics() if name.startswith(VLLM)} == set(ENGINE_METRICS)


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: Document) -> None:
    assert alert["alert"].startswith("FtServing")
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert len(alert["annotations"]["summary"]) > 20
    assert len(alert["annotations"]["description"]) > 80
    assert re.fullmatch(r"[1-9]\d*m", alert["for"]), "a moment's state wakes nobody"


def test_names_are_those_that_the_program_gives() -> None:
    text = "\n".join(expression for _, expression in expressions())
    assert set(re.findall(r'container="([^"]+)"', text)) == {kserve.CONTAINER}
    assert set(re.findall(r'persistentvolumeclaim="([^"]+)"', text)) == {storage.CLAIM}
    predictor = f"{kserve.NAME}-predictor"
    for name in re.findall(r'(?:deployment|pod|kn_service_name)=~"([^"]+)"', text):
        assert predictor in name


def relabelings(monitor: Document) -> list[tuple[str, list[Document]]]:
    """The jobs of a PodMonitor, in the words of a scrape configuration."""
    found = []
    for endpoint in monitor["spec"]["podMetricsEndpoints"]:
        steps = [
            {
                re.sub("([A-Z])", lambda m: f"_{m[1].lower()}", key): value
                for key, value in it.items()
            }
            for it in endpoint["relabelings"]
        ]
        (job,) = (it["replacement"] for it in steps if it.get("target_label") == "job")
        found.append((job, [it for it in steps if it.get("target_label") != "job"]))
    return found


def test_the_operator_scrapes_what_prometheus_does() -> None:
    (plain,) = documents("prometheus.yaml")
    jobs = {job["job_name"]: job["relabel_configs"] for job in plain["scrape_configs"]}
    monitors = [it for monitor in documents("pod-monitor.yaml") for it in relabelings(monitor)]
    assert [name for name, _ in monitors] == list(jobs)
    # The operator itself selects pods by labels and ports by names, and labels namespace and pod.
    done_by_it = re.compile(
        r"_pod_label_app|_container_port_name|_meta_kubernetes_namespace|_pod_name"
    )
    for name, steps in monitors:
        ours = [it for it in jobs[name] if not done_by_it.search(" ".join(it["source_labels"]))]
        assert steps == ours, name


def test_the_selectors_are_the_labels_of_the_pods() -> None:
    parts = [labels(part)[PART] for part in ("server", transformer.PART)]
    (policy,) = documents("network-policy.yaml")
    (selected,) = policy["spec"]["podSelector"]["matchExpressions"]
    assert (selected["key"], selected["values"]) == (PART, parts)
    monitors = documents("pod-monitor.yaml")
    assert [it["spec"]["selector"]["matchLabels"] for it in monitors[:2]] == [
        {PART: part} for part in parts
    ]


def test_kustomize_takes_every_file_that_is_for_a_cluster() -> None:
    (kustomization,) = documents("kustomization.yaml")
    listed = set(kustomization["resources"])
    listed |= {name for it in kustomization["configMapGenerator"] for name in it["files"]}
    others = {"kustomization.yaml", "prometheus.yaml"}
    assert listed == {path.name for path in FOLDER.iterdir()} - others


def test_the_dashboards_panels_have_room_and_a_text() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        room = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not room & taken, panel["title"]
        taken |= room
        assert at["x"] + at["w"] <= 24
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}", "a dashboard of only one installation"
