"""Applying many objects, in the order and with the patience that their kinds need."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.manifests import Manifest, ObjectName, identity
from local_platform.errors import ApiUnavailableError, ApplyError

_PARALLEL: Final = 8  # The API server spends most of a request waiting for etcd.
_PAUSE_S: Final = 0.5
_DEFINITION: Final = "CustomResourceDefinition"


def apply_all(
    cluster: ClusterObjects,
    manifests: Sequence[Manifest],
    report: Callable[[str], None],
    deadline: float,
) -> None:
    """Apply objects by server-side apply; what is as it should be stays as it is.

    Namespaces and kinds come first, then all else at once. An object whose webhook does not answer
    is tried again: its pods may be among the objects, or about to start after a reboot.

    Args:
        cluster: Where.
        manifests: What, each identity once.
        report: Told when something is waited for.
        deadline: Until when is tried again, on the clock of `time.monotonic`.

    Raises:
        ApplyError: All objects that were refused, with the API server's reasons.
    """
    namespaces = [manifest for manifest in manifests if manifest["kind"] == "Namespace"]
    definitions = [manifest for manifest in manifests if manifest["kind"] == _DEFINITION]
    others = [one for one in manifests if one["kind"] not in {"Namespace", _DEFINITION}]
    _apply_wave(cluster, [*namespaces, *definitions], report, deadline)
    _wait_established(cluster, [identity(definition) for definition in definitions], deadline)
    _apply_wave(cluster, others, report, deadline)


def _apply_wave(
    cluster: ClusterObjects,
    wave: Sequence[Manifest],
    report: Callable[[str], None],
    deadline: float,
) -> None:
    def attempt(manifest: Manifest) -> ApplyError | None:
        try:
            cluster.apply(manifest)
        except ApplyError as exc:
            return exc
        return None

    left = list(wave)
    waited_for = ""
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        while True:
            outcomes = list(zip(left, pool.map(attempt, left), strict=True))
            failed = [(manifest, error) for manifest, error in outcomes if error is not None]
            final = not all(isinstance(error, ApiUnavailableError) for _, error in failed)
            if failed and (final or time.monotonic() > deadline):
                reasons = "\n".join(f"  {error}" for _, error in failed)
                raise ApplyError(f"{len(failed)} objects were not taken by the cluster:\n{reasons}")
            if not failed:
                return
            left = [manifest for manifest, _ in failed]
            if (first := str(failed[0][1])) != waited_for:
                waited_for = first
                report(f"waiting to apply {len(left)} objects: {first}")
            time.sleep(_PAUSE_S)


def _wait_established(
    cluster: ClusterObjects, wanted: Sequence[ObjectName], deadline: float
) -> None:
    """Wait until the kinds are served."""
    while True:
        found = cluster.list("apiextensions.k8s.io/v1", _DEFINITION)
        served = {identity(one) for one in found if _established(one)}
        missing = [str(one) for one in wanted if one not in served]
        if not missing:
            return
        if time.monotonic() > deadline:
            raise ApplyError(f"the API server does not serve them: {', '.join(missing)}")
        time.sleep(_PAUSE_S)


def _established(definition: Manifest) -> bool:
    conditions = definition.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
