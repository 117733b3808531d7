"""Waiting for objects to become ready, or to be gone."""

import threading
import time
from collections.abc import Callable, Iterator

from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.errors import NotFoundError, UnreachableError
from local_platform.plugins.kubernetes.manifest import identity
from local_platform.plugins.kubernetes.readiness.state import Check, Phase, label

_INTERVAL = 0.5
"""Seconds between two looks. Looking again, unlike a watch, needs no care after an API server's
restart and ends at once when the user cancels; a request takes a few milliseconds."""


class NotReadyError(PluginError):
    """An object did not become ready.

    Attributes:
        live: The object as it was last seen.
        problems: The likely causes, one line each.
    """

    def __init__(self, message: str, *, live: Object, problems: tuple[str, ...]) -> None:
        super().__init__(message)
        self.live = live
        self.problems = problems


class Waiter:
    """Waits in one cluster, for one resource."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        report: Callable[[str], None],
        cancelled: threading.Event,
        timeout: float,
    ) -> None:
        """Makes a waiter.

        Args:
            cluster: Where the object is.
            report: Shows the user what is being waited for.
            cancelled: Ends the waiting.
            timeout: Seconds to wait at most.
        """
        self._cluster = cluster
        self._report = report
        self._cancelled = cancelled
        self._timeout = timeout
        self._message = ""
        self._said = ""

    def until_ready(self, thing: Object, check: Check) -> Object:
        """Waits until a check is content, and returns the object as it is then.

        Raises:
            NotReadyError: It failed, was deleted, time is up, or the user cancelled.
        """
        live = thing
        problems: tuple[str, ...] = ()
        for _ in self._looks():
            try:
                live = self._get(thing)
                state = check(live, self._cluster)
            except NotFoundError as exc:
                raise NotReadyError(
                    f"{label(thing)} was deleted", live=live, problems=problems
                ) from exc
            except PluginError as exc:
                # The object exists and must not get lost; an API server may be restarting.
                self._say(str(exc))
                continue
            if state.phase is Phase.READY:
                return live
            problems = state.problems
            if state.phase is Phase.FAILED:
                raise NotReadyError(state.message, live=live, problems=problems)
            self._say(state.message, problems)
        raise NotReadyError(self._ended(), live=live, problems=problems)

    def until_gone(self, thing: Object) -> None:
        """Waits until an object is gone.

        Raises:
            PluginError: Time is up, or the user cancelled.
        """
        uid = thing["metadata"]["uid"]
        for _ in self._looks():
            try:
                live = self._get(thing)
            except NotFoundError:
                return
            except UnreachableError as exc:
                self._say(str(exc))
                continue
            if live["metadata"]["uid"] != uid:
                return
            finalizers = live["metadata"].get("finalizers")
            held = f" (finalizers: {', '.join(finalizers)})" if finalizers else ""
            self._say(f"Waiting for {label(thing)} to be gone{held}")
        raise PluginError(self._ended())

    def _get(self, thing: Object) -> Object:
        namespace, name = identity(thing)
        return self._cluster.get(thing["apiVersion"], thing["kind"], namespace, name)

    def _looks(self) -> Iterator[None]:
        """One item a look: at once, then at intervals, until time is up or the user cancels."""
        deadline = time.monotonic() + self._timeout
        yield
        while time.monotonic() < deadline and not self._cancelled.wait(_INTERVAL):
            yield

    def _say(self, message: str, problems: tuple[str, ...] = ()) -> None:
        """Reports what is new: where there is no terminal, every report is a line that stays."""
        self._message = message
        told = "; ".join((message, *problems))
        if told != self._said:
            self._said = told
            self._report(told)

    def _ended(self) -> str:
        if self._cancelled.is_set():
            return f"the operation was cancelled. {self._message}"
        return f"timed out after {self._timeout:g} s. {self._message}"
