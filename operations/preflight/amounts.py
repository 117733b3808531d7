"""Sums of Kubernetes quantities, and the resources of this deployment's pods."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from components.jobs import RESERVED_CPU
from ft_serving.cluster.documents import Document
from operations.preflight.facts import Facts
from operations.preflight.needs import Needs
from stacks.resolved import ContainerResources

Amounts = Mapping[str, Decimal]

_GIB = 1 << 30


def amount(quantity: object) -> Decimal:
    """Return a quantity as a number: of cores, bytes or pieces."""
    return Decimal(parse_quantity(quantity))


def amounts(quantities: Mapping[str, object]) -> Amounts:
    """Return quantities by resource as numbers."""
    return {resource: amount(value) for resource, value in quantities.items()}


def total(several: Iterable[Amounts]) -> Amounts:
    """Return the sum of amounts by resource."""
    sums: dict[str, Decimal] = {}
    for each in several:
        for resource, value in each.items():
            sums[resource] = sums.get(resource, Decimal()) + value
    return sums


def plain(resource: str, value: Decimal) -> str:
    """Return an amount as people write it."""
    if "memory" in resource or "storage" in resource:
        return f"{value / _GIB:.1f}Gi"
    return f"{value.normalize():f}"


def pod_amounts(pod: Document) -> Document:
    """Return the requests and limits of all containers of a pod together."""
    each = [container.get("resources", {}) for container in pod["spec"]["containers"]]
    return {
        side: total(amounts(resources.get(side) or {}) for resources in each)
        for side in ("requests", "limits")
    }


def job_pod(resources: ContainerResources) -> Document:
    """Return the requests and limits of a Job's pod."""
    limits = {"cpu": resources.cpu, "memory": resources.memory}
    return {"requests": {**limits, "cpu": RESERVED_CPU}, "limits": limits}


def service_pod(component: Document, needs: Needs, facts: Facts) -> Document:
    """Return the requests and limits of a pod of the service, with Knative's container beside it.

    Args:
        component: The specification of such pods, one of `needs.components`.
        needs: The deployment's.
        facts: The cluster's, with Knative's settings.
    """
    resources = component["containers"][0]["resources"]
    server = {side: amounts(values) for side, values in resources.items()}
    if not needs.serverless:
        return server
    config = facts.config("config-deployment")
    # Knative's default is 25m CPU and nothing else.
    sidecar = {"cpu": config.get("queue-sidecar-cpu-request") or "25m"}
    if memory := config.get("queue-sidecar-memory-request"):
        sidecar["memory"] = memory
    return {**server, "requests": total((server["requests"], amounts(sidecar)))}
