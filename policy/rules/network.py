"""The rule that each pod has network policies."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from policy.pods import PodTemplate, pods
from policy.resource import UNKNOWN, StackResource, StackRule, items_of, mapping_at, mappings_of

_DIRECTIONS = ("Ingress", "Egress")


def selects(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Return whether a label selector of Kubernetes's API selects an object with these labels."""
    if any(labels.get(key) != value for key, value in mapping_at(selector, "matchLabels").items()):
        return False
    return all(
        _satisfied(requirement, labels)
        for _, requirement in mappings_of(selector.get("matchExpressions"))
    )


def _satisfied(requirement: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = requirement["key"], items_of(requirement.get("values"))
    match requirement["operator"]:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


def _covered(resources: Sequence[StackResource]) -> Iterator[tuple[StackResource, str]]:
    policies = [it for it in resources if it.kind == "NetworkPolicy"]
    for resource in resources:
        for pod in pods(resource):
            directions = {
                direction
                for policy in policies
                if _same_namespace(policy, resource) and _is_about(policy, pod)
                for direction in items_of(mapping_at(policy.properties, "spec").get("policyTypes"))
            }
            if missing := [it for it in _DIRECTIONS if it not in directions]:
                message = (
                    f"{pod.path}: must be selected by a NetworkPolicy for {' and '.join(missing)}; "
                    f"its labels are {dict(pod.labels)}"
                )
                yield resource, message


def _same_namespace(one: StackResource, other: StackResource) -> bool:
    names = [mapping_at(it.properties, "metadata").get("namespace") for it in (one, other)]
    return UNKNOWN in names or names[0] == names[1]


def _is_about(policy: StackResource, pod: PodTemplate) -> bool:
    return selects(mapping_at(policy.properties, "spec", "podSelector"), pod.labels)


RULES = (
    StackRule(
        name="network-policy-for-every-pod",
        description="Every pod has a NetworkPolicy for what comes in and for what goes out.",
        check=_covered,
    ),
)
