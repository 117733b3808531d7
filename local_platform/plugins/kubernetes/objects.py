"""What is done to an object: made, changed, foretold, looked after, deleted."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from local_platform.plugins.errors import PluginError, ResourceInitError
from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.errors import (
    ClusterError,
    InvalidError,
    NotFoundError,
    UnknownKindError,
    UnreachableError,
)
from local_platform.plugins.kubernetes.manifest import (
    annotation,
    expected,
    identity,
    outputs,
    resource_id,
)
from local_platform.plugins.kubernetes.readiness.choice import (
    check_for,
    skips_waiting,
    timeout_of,
)
from local_platform.plugins.kubernetes.readiness.state import Phase
from local_platform.plugins.kubernetes.settings import Settings
from local_platform.plugins.kubernetes.waiting import NotReadyError, Waiter
from local_platform.plugins.values import Value, has_unknown, hide, reveal

PATCH_FORCE = "pulumi.com/patchForce"
PROPAGATION = "pulumi.com/deletionPropagationPolicy"

_POLICIES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}

_PATIENCE = 10.0
"""Seconds that a new object waits for its namespace or its kind: a program may make them at the
same time, and not say what depends on what."""


class Objects:
    """The operations on the objects of one cluster, told to the user of one resource."""

    def __init__(
        self,
        cluster: Cluster,
        settings: Settings,
        *,
        report: Callable[[str], None],
        warn: Callable[[str], None],
        cancelled: threading.Event,
    ) -> None:
        """Makes the operations.

        Args:
            cluster: Where the objects are.
            settings: The provider's settings.
            report: Shows the user what is being waited for.
            warn: Shows the user what needs attention.
            cancelled: Ends what waits.
        """
        self._cluster = cluster
        self._settings = settings
        self._report = report
        self._warn = warn
        self._cancelled = cancelled

    def foretell(self, inputs: Mapping[str, Any], *, exists: bool = False) -> dict[str, Value]:
        """What an object would be, by a dry run where the API server can do one.

        It cannot where a value is not known yet, or where the namespace or the kind is made by the
        same program.

        Raises:
            PluginError: The API server would refuse it.
        """
        if has_unknown(inputs):
            return expected(inputs, inputs)
        manifest = reveal(inputs)
        try:
            planned = self._cluster.apply(manifest, force=self._forces(manifest), dry_run=True)
        except (NotFoundError, UnknownKindError):
            return expected(inputs, inputs)
        except ClusterError as exc:
            if not exists and _of_old_object(exc) and self._exists(manifest):
                # It is replaced: until then the old object forbids what the new one may have.
                return expected(inputs, inputs)
            raise _refusal(inputs, "updated" if exists else "created", exc) from exc
        return outputs(planned, inputs) if exists else expected(planned, inputs)

    def create(self, inputs: Mapping[str, Any], *, timeout: float) -> Object:
        """Makes an object, or takes one over that exists, and waits until it is ready.

        Args:
            inputs: The checked inputs.
            timeout: The resource's custom timeout in seconds; 0 if it has none.

        Raises:
            ResourceInitError: It exists, but did not become ready.
            PluginError: The API server refused it.
        """
        manifest = reveal(inputs)
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._require_absence(manifest)
                live = self._cluster.apply(manifest, force=self._forces(manifest))
            except (NotFoundError, UnknownKindError) as exc:
                self._report(f"Retrying: {exc}")
                if time.monotonic() > deadline or self._cancelled.wait(1):
                    raise _refusal(inputs, "created", exc) from exc
            except ClusterError as exc:
                raise _refusal(inputs, "created", exc) from exc
            else:
                return self._ready(live, inputs, timeout)

    def update(self, inputs: Mapping[str, Any], *, timeout: float) -> Object:
        """Changes an object, and waits until it is ready again.

        Args and raises: as for `create`.
        """
        manifest = reveal(inputs)
        try:
            live = self._cluster.apply(manifest, force=self._forces(manifest))
        except ClusterError as exc:
            raise _refusal(inputs, "updated", exc) from exc
        return self._ready(live, inputs, timeout)

    def require_health(self, live: Object, inputs: Mapping[str, Any]) -> None:
        """Refuses an object that has failed, without waiting for one that is on its way.

        Raises:
            ResourceInitError: It failed.
        """
        check = check_for(inputs)
        if check is None:
            return
        state = check(live, self._cluster)
        if state.phase is Phase.FAILED:
            raise _init_error(
                inputs, NotReadyError(state.message, live=live, problems=state.problems)
            )

    def delete(
        self, state: Mapping[str, Any], inputs: Mapping[str, Any], *, timeout: float
    ) -> None:
        """Deletes an object and waits until it is gone; one that is gone already is no error.

        Args:
            state: The resource's outputs.
            inputs: Its inputs, whose annotations say how to delete.
            timeout: The resource's custom timeout in seconds; 0 if it has none.

        Raises:
            PluginError: The API server refused, or the object is still there after the timeout.
        """
        api_version, kind = state["apiVersion"], state["kind"]
        namespace, name = identity(state)
        try:
            live = self._cluster.get(api_version, kind, namespace, name)
            self._cluster.delete(
                api_version, kind, namespace, name, propagation=_propagation(inputs)
            )
        except (NotFoundError, UnknownKindError):
            return
        except UnreachableError as exc:
            if not self._settings.delete_unreachable:
                raise
            self._warn(f"{exc}; dropped from the state, as deleteUnreachable says")
            return
        if not skips_waiting(inputs):
            self._waiter(inputs, timeout).until_gone(live)

    def _ready(self, live: Object, inputs: Mapping[str, Any], timeout: float) -> Object:
        check = check_for(inputs)
        if check is None:
            return live
        try:
            return self._waiter(inputs, timeout).until_ready(live, check)
        except NotReadyError as exc:
            raise _init_error(inputs, exc) from exc

    def _waiter(self, inputs: Mapping[str, Any], timeout: float) -> Waiter:
        return Waiter(
            self._cluster,
            report=self._report,
            cancelled=self._cancelled,
            timeout=timeout_of(inputs, timeout),
        )

    def _forces(self, manifest: Object) -> bool:
        asked = annotation(manifest, PATCH_FORCE)
        return self._settings.patch_force if asked is None else str(asked).lower() == "true"

    def _require_absence(self, manifest: Object) -> None:
        if not self._settings.upsert and self._exists(manifest):
            raise ClusterError(
                "it exists already; import it, or have the provider take over what exists "
                "(`upsertExistingObjects`)"
            )

    def _exists(self, manifest: Object) -> bool:
        namespace, name = identity(manifest)
        try:
            self._cluster.get(manifest["apiVersion"], manifest["kind"], namespace, name)
        except NotFoundError:
            return False
        return True


def _of_old_object(exc: ClusterError) -> bool:
    """Whether a refusal, of the API server or of a webhook, may be about what the object is."""
    return isinstance(exc, InvalidError) or "admission webhook" in str(exc)


def _init_error(inputs: Mapping[str, Any], exc: NotReadyError) -> ResourceInitError:
    message = (
        f'the Kubernetes API server reported that "{resource_id(exc.live)}" failed to fully '
        f"initialize or become live: {exc}"
    )
    return ResourceInitError(
        message,
        resource_id=resource_id(exc.live),
        outputs=outputs(exc.live, inputs),
        inputs=inputs,
        reasons=[message, *exc.problems],
    )


def _refusal(inputs: Mapping[str, Any], done: str, exc: ClusterError) -> PluginError:
    if isinstance(exc, UnreachableError):
        return exc
    return PluginError(
        f"resource {resource_id(inputs)} was not successfully {done} by the Kubernetes API "
        f"server: {hide(str(exc), inputs)}"
    )


def _propagation(inputs: Mapping[str, Any]) -> str:
    asked = annotation(inputs, PROPAGATION)
    if asked is None:
        return "Foreground"
    if str(asked).lower() not in _POLICIES:
        raise PluginError(f"{PROPAGATION}: must be one of {', '.join(_POLICIES)}; got {asked!r}")
    return _POLICIES[str(asked).lower()]
