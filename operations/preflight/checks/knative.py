"""Checks of Knative's settings, as far as the pods of this deployment need them.

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
    """Return the feature flags that a pod's specification needs, each with its reason."""
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
    """Check feature flags, and limits that the service stays below."""
    if not needs.serverless or facts.objects.get(FactKind.KNATIVE_CONFIG) is None:
        return
    flags = facts.config("config-features")
    for flag, what in features(needs.predictor).items():
        value = flags.get(flag, "enabled" if flag in _ON_BY_DEFAULT else "disabled")
        # "allowed" is enough for fields, but not for volumes.
        volumes = flag in (_CLAIMS, _WRITABLE, _EMPTY_DIRS)
        if value.lower() == "enabled" or (value.lower() == "allowed" and not volumes):
            continue
        yield error(
            f"Knative's {flag}",
            found=value if flag in flags else f"{value}, the default",
            needed=f"enabled, for {what} of the server's pods",
            remedy=_patch("config-features", flag, "enabled"),
        )
    scaling, spec = needs.config.scaling, needs.predictor
    for key, name_of_map, needed, default, what, setting in (
        ("max-revision-timeout-seconds", "config-defaults", int(spec["timeout"]),
         _MAX_REQUEST_S, "seconds for a request", "coldStart.budgetSeconds"),
        ("container-concurrency-max-limit", "config-defaults", int(spec["containerConcurrency"]),
         _MAX_CONCURRENCY, "requests at once", "replicas.containerConcurrency"),
        # 0, its default, is no limit.
        ("max-scale-limit", "config-autoscaler", scaling.max, 0, "replicas", "replicas.max"),
    ):  # fmt: skip
        found = int(facts.config(name_of_map).get(key) or default)
        if found and needed > found:
            yield error(
                f"Knative's {key}",
                found=str(found),
                needed=f"at least {needed} {what}",
                remedy=f"Lower {setting}, or let an administrator raise it: "
                + _patch(name_of_map, key, str(needed)),
            )
    to_zero = facts.config("config-autoscaler").get("enable-scale-to-zero", "true")
    if scaling.min == 0 and to_zero.lower() == "false":
        yield warning(
            "Knative's enable-scale-to-zero",
            found="false in config-autoscaler: the last replica stays",
            needed="true, for replicas.min: 0",
            remedy=_patch("config-autoscaler", "enable-scale-to-zero", "true"),
        )


def _patch(name_of_map: str, key: str, value: str) -> str:
    change = json.dumps({"data": {key: value}})
    return (
        f"`kubectl --namespace {NAMESPACE} patch configmap {name_of_map} --type merge "
        f"--patch '{change}'`"
    )
