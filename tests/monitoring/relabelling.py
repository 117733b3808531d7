"""Makes targets of pods as Prometheus does, for the few actions that are used here.

The role `pod` of `kubernetes_sd_config`, and `relabel_config`:
https://prometheus.io/docs/prometheus/latest/configuration/configuration.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Labels = dict[str, str]


def targets(pods: Sequence[Mapping[str, Any]], steps: Sequence[Mapping[str, Any]]) -> list[Labels]:
    """The targets of a job: their labels without those that are dropped after relabelling.

    Args:
        pods: The pods that are discovered.
        steps: Its `relabel_configs`.
    """
    found: list[Labels] = []
    for labels in (labels for pod in pods for labels in _discovered(pod)):
        kept = _relabelled(labels, steps)
        if kept is not None and kept not in found:
            found.append(kept)
    return found


def _discovered(pod: Mapping[str, Any]) -> Iterator[Labels]:
    """A target a port of each container."""
    metadata, status = pod["metadata"], pod["status"]
    of_pod = {
        "__meta_kubernetes_namespace": metadata["namespace"],
        "__meta_kubernetes_pod_name": metadata["name"],
        "__meta_kubernetes_pod_ip": status.get("podIP", ""),
        **{
            f"__meta_kubernetes_pod_label_{re.sub('[^a-zA-Z0-9_]', '_', name)}": value
            for name, value in metadata.get("labels", {}).items()
        },
    }
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            yield {
                **of_pod,
                "__address__": f"{of_pod['__meta_kubernetes_pod_ip']}:{port['containerPort']}",
                "__meta_kubernetes_pod_container_name": container["name"],
                "__meta_kubernetes_pod_container_port_name": port.get("name", ""),
            }


def _relabelled(labels: Labels, steps: Sequence[Mapping[str, Any]]) -> Labels | None:
    made = dict(labels)
    for step in steps:
        text = ";".join(made.get(name, "") for name in step["source_labels"])
        match = re.fullmatch(str(step.get("regex", "(.*)")), text)
        if step.get("action", "replace") == "keep":
            if match is None:
                return None
        elif match:
            template = str(step.get("replacement", "$1")).replace("$1", "\\1")
            made[step["target_label"]] = match.expand(template)
    return {
        name: value
        for name, value in made.items()
        if name == "__address__" or not name.startswith("__")
    }
