"""Which check an object gets, and how long it may take."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.manifest import annotation
from local_platform.plugins.kubernetes.readiness.conditions import (
    WAIT_FOR,
    check_established,
    check_wanted,
)
from local_platform.plugins.kubernetes.readiness.job import JobCheck
from local_platform.plugins.kubernetes.readiness.pods import PodErrors, check_pod
from local_platform.plugins.kubernetes.readiness.services import check_service
from local_platform.plugins.kubernetes.readiness.state import Check
from local_platform.plugins.kubernetes.readiness.storage import check_claim
from local_platform.plugins.kubernetes.readiness.workloads import (
    check_daemon_set,
    check_deployment,
    check_stateful_set,
)

SKIP = "pulumi.com/skipAwait"
TIMEOUT = "pulumi.com/timeoutSeconds"

_DEFAULT_TIMEOUT = 600.0

_CHECKS: Mapping[tuple[str, str], Callable[[], Check]] = {
    ("", "PersistentVolumeClaim"): lambda: check_claim,
    ("", "Pod"): lambda: partial(check_pod, PodErrors()),
    ("", "Service"): lambda: check_service,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): lambda: check_established,
    ("apps", "DaemonSet"): lambda: partial(check_daemon_set, PodErrors()),
    ("apps", "Deployment"): lambda: partial(check_deployment, PodErrors()),
    ("apps", "StatefulSet"): lambda: partial(check_stateful_set, PodErrors()),
    ("batch", "Job"): JobCheck,
}


def skips_waiting(manifest: Mapping[str, Any]) -> bool:
    """Whether the program asks not to wait for an object, neither to be ready nor to be gone."""
    return str(annotation(manifest, SKIP)).lower() == "true"


def check_for(manifest: Mapping[str, Any]) -> Check | None:
    """The check for an object; None when it is ready as soon as it exists.

    Raises:
        PluginError: The annotation `pulumi.com/waitFor` cannot be understood.
    """
    if skips_waiting(manifest):
        return None
    wanted = annotation(manifest, WAIT_FOR)
    if wanted is not None:
        return check_wanted(str(wanted))
    make = _CHECKS.get((manifest["apiVersion"].rpartition("/")[0], manifest["kind"]))
    return make() if make else None


def timeout_of(manifest: Mapping[str, Any], custom: float) -> float:
    """Seconds that an operation on an object may take.

    Args:
        manifest: The object, whose annotation counts when `custom` is not given.
        custom: The resource's custom timeout; 0 if it has none.

    Raises:
        PluginError: The annotation is no number of seconds.
    """
    if custom > 0:
        return custom
    text = annotation(manifest, TIMEOUT)
    if text is None:
        return _DEFAULT_TIMEOUT
    try:
        return float(text)
    except ValueError as exc:
        raise PluginError(f"{TIMEOUT}: must be a number of seconds; got {text!r}") from exc
