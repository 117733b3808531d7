"""Checks of the namespace's quotas, without the deployment's own use of them."""

from collections.abc import Iterator
from decimal import Decimal

from components.jobs import GATE_RESOURCES
from ft_serving.cluster.documents import Document, name
from operations.preflight.amounts import (
    Amounts,
    amount,
    amounts,
    job_pod,
    plain,
    pod_amounts,
    service_pod,
    total,
)
from operations.preflight.checks.namespace import is_own_pod
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error
from operations.preflight.needs import Needs

_STORAGE, _CLAIMS = "requests.storage", "persistentvolumeclaims"


def quota(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Check that each quota has room for the fewest replicas and the Jobs beside them."""
    needed = _needed(needs, facts)
    own = total(
        {**_quota(pod_amounts(pod)), "pods": Decimal(1)}
        for pod in facts.all(FactKind.PODS)
        if is_own_pod(needs, pod)
    )
    for found in facts.all(FactKind.QUOTAS):
        if found["spec"].get("scopes") or found["spec"].get("scopeSelector"):
            # It may count none of these pods.
            continue
        status = found.get("status", {})
        for resource, hard in status.get("hard", {}).items():
            used = amount(status.get("used", {}).get(resource, "0")) - own.get(resource, Decimal())
            free = amount(hard) - max(used, Decimal())
            if resource in needed and needed[resource] > free:
                yield error(
                    f"Quota {name(found)} of namespace {needs.namespace}",
                    found=f"{plain(resource, max(free, Decimal()))} of {hard} {resource} left",
                    needed=f"{plain(resource, needed[resource])}, for {needs.replicas_at_first} "
                    "replica(s) and the Jobs beside",
                    remedy=f"`kubectl --namespace {needs.namespace} describe quota` shows what "
                    "uses it; ask for a larger one, or lower replicas.min or resources",
                )


def _needed(needs: Needs, facts: Facts) -> Amounts:
    pods = [_quota(service_pod(each, needs, facts)) for each in needs.components]
    replicas = total(pods * needs.replicas_at_first)
    download = _quota(job_pod(needs.config.job_resources))
    # The download is over when the replicas start; a gate runs beside either.
    busiest = {
        key: max(download.get(key, Decimal()), replicas.get(key, Decimal()))
        for key in {**download, **replicas}
    }
    needed = {
        **total((busiest, _quota(job_pod(GATE_RESOURCES)))),
        "pods": Decimal(needs.replicas_at_first * len(pods) + 1),
    }
    if facts.all(FactKind.CLAIM):
        return needed
    return {**needed, _STORAGE: amount(needs.config.storage.size), _CLAIMS: Decimal(1)}


def _quota(resources: Document) -> Amounts:
    """Return requests and limits under the names that quotas have for them."""
    named = {
        f"{side}.{resource}": value
        for side in ("requests", "limits")
        for resource, value in amounts(resources.get(side, {})).items()
    }
    short = {
        resource: named[f"requests.{resource}"]
        for resource in ("cpu", "memory")
        if f"requests.{resource}" in named
    }
    return {**named, **short}
