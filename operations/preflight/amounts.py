"""Sums of Kubernetes quantities."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from kubernetes.utils.quantity import parse_quantity

from ft_serving.cluster.documents import Document

Amounts = Mapping[str, Decimal]

_GIB = 1 << 30


def amount(quantity: object) -> Decimal:
    """A quantity as a number: of cores, bytes or pieces."""
    return Decimal(parse_quantity(quantity))


def amounts(quantities: Mapping[str, object]) -> Amounts:
    """Quantities by resource as numbers."""
    return {resource: amount(value) for resource, value in quantities.items()}


def total(several: Iterable[Amounts]) -> Amounts:
    """The sum of amounts by resource."""
    sums: dict[str, Decimal] = {}
    for each in several:
        for resource, value in each.items():
            sums[resource] = sums.get(resource, Decimal()) + value
    return sums


def pod_amounts(pod: Document) -> Document:
    """What all containers of a pod request, and are limited to, together."""
    each = [container.get("resources", {}) for container in pod["spec"]["containers"]]
    return {
        side: total(amounts(resources.get(side) or {}) for resources in each)
        for side in ("requests", "limits")
    }


def times(resources: Document, count: int) -> Document:
    """Requests and limits of several pods that are alike."""
    return {
        side: {resource: amount(value) * count for resource, value in values.items()}
        for side, values in resources.items()
    }


def plain(resource: str, value: Decimal) -> str:
    """An amount as people write it."""
    if "memory" in resource or "storage" in resource:
        return f"{value / _GIB:.1f}Gi"
    return f"{value.normalize():f}"
