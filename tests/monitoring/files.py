"""The files in `monitoring/`, as their readers see them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "monitoring"

Document = dict[str, Any]

# What is no metric in an expression: texts, selectors, durations, groupings, functions, keywords.
_ASIDE = re.compile(
    r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring)\s*\([^)]*\)|\b\w+(?=\s*\()|'
    r"\b(?:sum|max)\b|\b(?:and|or|unless|group_left)\b|\b[\d.]+(?:e\d+)?\b"
)
_NAME = re.compile(r"[a-zA-Z_:][\w:]*")

TRITON = ("nv_", "ft_")
VLLM = "vllm:"
GPU = "nv_gpu_"
KNATIVE = "kn_"
KUBELET = "kubelet_"

OF_KUBE_STATE_METRICS = frozenset(
    {
        "kube_deployment_spec_replicas",
        "kube_deployment_status_replicas_available",
        "kube_pod_container_status_restarts_total",
        "kube_pod_created",
        "kube_pod_status_phase",
        "kube_pod_status_ready",
    }
)
"""It is not on the embedded platform; docs/metrics of
https://github.com/kubernetes/kube-state-metrics has the names."""

OF_PROMETHEUS = frozenset({"up"})


def documents(file: str) -> list[Document]:
    """The documents of a YAML file."""
    return list(yaml.safe_load_all((FOLDER / file).read_text()))


def rule_file() -> Document:
    """The rules, as Prometheus reads them without the operator."""
    (rule,) = documents("prometheus-rule.yaml")
    spec: Document = rule["spec"]
    return spec


def alerts() -> list[Document]:
    """All alerts."""
    return [alert for group in rule_file()["groups"] for alert in group["rules"]]


def dashboard() -> Document:
    """The dashboard."""
    found: Document = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with where it is; the dashboard's variables have values."""
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            expression = target["expr"].replace("$__rate_interval", "5m")
            yield f"{panel['title']} {target['refId']}", expression.replace("$namespace", "it")


def metrics() -> set[str]:
    """The names of all metrics that are named anywhere."""
    return {name for _, expression in expressions() for name in metrics_in(expression)}


def metrics_in(expression: str) -> set[str]:
    """The names of the metrics in an expression."""
    return set(_NAME.findall(_ASIDE.sub(" ", expression)))


def exposed(text: str) -> set[str]:
    """The names of the series in what a scrape answers."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return {name[0] for line in lines if (name := _NAME.match(line))}
