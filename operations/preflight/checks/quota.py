"""Room in the namespace's quotas, not counting what the deployment itself uses of them."""

from collections.abc import Iterator
from decimal import Decimal

from components.jobs import GATE_RESOURCES, RESERVED_CPU
from ft_serving.cluster.documents import Document, name
from operations.preflight.amounts import Amounts, amount, amounts, plain, pod_amounts, times, total
from operations.preflight.checks.namespace import is_own_pod
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error
from operations.preflight.needs import Needs
from stacks.resolved import ContainerResources

_STORAGE, _CLAIMS = "requests.storage", "persistentvolumeclaims"


def quota(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Whether each quota has room for the fewest replicas and the Jobs beside them."""
    needed = _needed(needs, facts)
    own = _own(needs, facts)
    for found in facts.all(FactKind.QUOTAS):
        if found["spec"].get("scopes") or found["spec"].get("scopeSelector"):
            # It may count none of these pods.
            continue
        status = found.get("status", {})
        for resource, hard in status.get("hard", {}).items():
            wanted = needed.get(resource)
            if wanted is None:
                continue
            used = amount(status.get("used", {}).get(resource, "0")) - own.get(resource, Decimal())
            free = amount(hard) - max(used, Decimal())
            if wanted > free:
                yield error(
                    f"Quota {name(found)} of namespace {needs.namespace}",
                    found=f"{plain(resource, max(free, Decimal()))} of {hard} {resource} left",
                    needed=f"{plain(resource, wanted)}, for {needs.replicas_at_first} replica(s) "
                    "and the Jobs beside",
                    remedy=f"`kubectl --namespace {needs.namespace} describe quota` shows what "
                    "uses it; ask for a larger one, or lower replicas.min or resources",
                )


def _needed(needs: Needs, facts: Facts) -> Amounts:
    replicas = times(server_pod(needs, facts), needs.replicas_at_first)
    # The download is over when the replicas start; a gate runs beside either.
    first, second = _quota(job_pod(needs.config.job_resources)), _quota(replicas)
    busiest = {
        key: max(first.get(key, Decimal()), second.get(key, Decimal()))
        for key in {**first, **second}
    }
    needed = {
        **total((busiest, _quota(job_pod(GATE_RESOURCES)))),
        "pods": Decimal(needs.replicas_at_first + 1),
    }
    if facts.all(FactKind.CLAIM):
        return needed
    return {**needed, _STORAGE: amount(needs.config.storage.size), _CLAIMS: Decimal(1)}


def _own(needs: Needs, facts: Facts) -> Amounts:
    return total(
        {**_quota(pod_amounts(pod)), "pods": Decimal(1)}
        for pod in facts.all(FactKind.PODS)
        if is_own_pod(needs, pod)
    )


def _quota(resources: Document) -> Amounts:
    """Requests and limits under the names that quotas have for them."""
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


def job_pod(resources: ContainerResources) -> Document:
    """Requests and limits of a Job's pod."""
    limits = {"cpu": resources.cpu, "memory": resources.memory}
    return {"requests": {**limits, "cpu": RESERVED_CPU}, "limits": limits}


def server_pod(needs: Needs, facts: Facts) -> Document:
    """Requests and limits of a server's pod, Knative's container beside it included."""
    server = {
        side: amounts(values)
        for side, values in needs.predictor["containers"][0]["resources"].items()
    }
    if not needs.serverless:
        return server
    config = facts.config("config-deployment")
    # Knative's default is 25m CPU and nothing else.
    sidecar = {"cpu": config.get("queue-sidecar-cpu-request") or "25m"}
    if memory := config.get("queue-sidecar-memory-request"):
        sidecar["memory"] = memory
    return {**server, "requests": total((server["requests"], amounts(sidecar)))}
