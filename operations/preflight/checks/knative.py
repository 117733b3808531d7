"""Knative's settings, as far as the pods of this deployment need them.

Names and defaults are those of knative.dev/serving, pkg/apis/config and pkg/apis/autoscaling.
"""

import json
from collections.abc import Iterator

from ft_serving.cluster.documents import Document
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs

NAMESPACE = "knative-serving"

_FIELDS = {
    "affinity": "kubernetes.podspec-affinity",
    "initContainers": "kubernetes.podspec-init-containers",
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "securityContext": "kubernetes.podspec-securitycontext",
    "tolerations": "kubernetes.podspec-tolerations",
}
_CLAIMS = "kubernetes.podspec-persistent-volume-claim"
_WRITABLE = "kubernetes.podspec-persistent-volume-write"
_EMPTY_DIRS = "kubernetes.podspec-volumes-emptydir"

_ON_BY_DEFAULT = {_EMPTY_DIRS}
_MAX_REQUEST_S = 600
_MAX_CONCURRENCY = 1000


def features(predictor: Document) -> dict[str, str]:
    """The feature flags that a pod's specification needs, each with what needs it."""
    needed = {flag: field for field, flag in _FIELDS.items() if predictor.get(field)}
    for volume in predictor.get("volumes", ()):
        claim = volume.get("persistentVolumeClaim")
        if claim is not None:
            needed[_CLAIMS] = f"the volume {volume['name']}"
            if not claim.get("readOnly"):
                needed[_WRITABLE] = f"the writable volume {volume['name']}"
        if "emptyDir" in volume:
            needed[_EMPTY_DIRS] = f"the volume {volume['name']}"
    return needed


def knative(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Feature flags, and limits that the service stays below."""
    if not needs.serverless or facts.objects.get(FactKind.KNATIVE_CONFIG) is None:
        return
    yield from _features(needs, facts)
    predictor = needs.predictor
    yield from _limit(
        "max-revision-timeout-seconds", "config-defaults", facts,
        needed=int(predictor["timeout"]), default=_MAX_REQUEST_S,
        what="seconds for a request", setting="coldStart.budgetSeconds",
    )  # fmt: skip
    yield from _limit(
        "container-concurrency-max-limit", "config-defaults", facts,
        needed=int(predictor["containerConcurrency"]), default=_MAX_CONCURRENCY,
        what="requests at once", setting="replicas.containerConcurrency",
    )  # fmt: skip
    # 0 is no limit.
    if int(facts.config("config-autoscaler").get("max-scale-limit") or 0):
        yield from _limit(
            "max-scale-limit", "config-autoscaler", facts,
            needed=needs.config.scaling.max, default=0, what="replicas", setting="replicas.max",
        )  # fmt: skip
    to_zero = facts.config("config-autoscaler").get("enable-scale-to-zero", "true")
    if needs.config.scaling.min == 0 and to_zero.lower() == "false":
        yield warning(
            "Knative's enable-scale-to-zero",
            found="false in config-autoscaler: the last replica stays",
            needed="true, for replicas.min: 0",
            remedy=_patch("config-autoscaler", "enable-scale-to-zero", "true"),
        )


def _features(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    found = facts.config("config-features")
    for flag, what in features(needs.predictor).items():
        value = found.get(flag, "enabled" if flag in _ON_BY_DEFAULT else "disabled")
        # Volumes take "enabled" alone, other fields "allowed" as well.
        volumes = flag in (_CLAIMS, _WRITABLE, _EMPTY_DIRS)
        if value.lower() == "enabled" or (value.lower() == "allowed" and not volumes):
            continue
        yield error(
            f"Knative's {flag}",
            found=value if flag in found else f"{value}, the default",
            needed=f"enabled, for {what} of the server's pods",
            remedy=_patch("config-features", flag, "enabled"),
        )


def _limit(
    key: str, name_of_map: str, facts: Facts, *, needed: int, default: int, what: str, setting: str
) -> Iterator[PreflightFinding]:
    found = int(facts.config(name_of_map).get(key) or default)
    if needed > found:
        yield error(
            f"Knative's {key}",
            found=str(found),
            needed=f"at least {needed} {what}",
            remedy=f"Lower {setting}, or let an administrator raise it: "
            + _patch(name_of_map, key, str(needed)),
        )


def _patch(name_of_map: str, key: str, value: str) -> str:
    change = json.dumps({"data": {key: value}})
    return (
        f"`kubectl --namespace {NAMESPACE} patch configmap {name_of_map} --type merge "
        f"--patch '{change}'`"
    )
