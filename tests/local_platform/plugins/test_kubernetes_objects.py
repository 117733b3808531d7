"""What is done to objects, and how long it is waited for."""

import threading
import time
from typing import Any

import pytest

from local_platform.plugins.errors import PluginError, ResourceInitError
from local_platform.plugins.kubernetes.cluster import Cluster, Object
from local_platform.plugins.kubernetes.errors import (
    ClusterError,
    FieldConflictError,
    InvalidError,
    NotFoundError,
    UnknownKindError,
    UnreachableError,
)
from local_platform.plugins.kubernetes.objects import Objects
from local_platform.plugins.kubernetes.readiness.state import READY, failed, waiting
from local_platform.plugins.kubernetes.settings import Settings
from local_platform.plugins.kubernetes.waiting import NotReadyError, Waiter
from local_platform.plugins.values import UNKNOWN, Secret
from tests.local_platform.plugins.kubernetes_cluster import ScriptedCluster, thing


class Deleting(ScriptedCluster):
    """Records deletions."""

    def __init__(self, *, gets: list[Object | Exception]) -> None:
        super().__init__(gets=gets)
        self.deleted: list[str] = []

    def delete(
        self, api_version: str, kind: str, namespace: str | None, name: str, *, propagation: str
    ) -> None:
        self.deleted.append(propagation)


class Applying(ScriptedCluster):
    """Answers applies from a list, and records whether they were forced."""

    def __init__(
        self, answers: list[Object | Exception], *, gets: tuple[Object | Exception, ...] = ()
    ) -> None:
        super().__init__(gets=gets)
        self._answers = answers
        self.forced: list[bool] = []

    def apply(
        self, manifest: Object, *, force: bool = False, dry_run: bool = False, strict: bool = True
    ) -> Object:
        self.forced.append(force)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def objects(cluster: Cluster, settings: Settings | None = None, **given: Any) -> Objects:
    values: dict[str, Any] = {
        "report": lambda _: None,
        "warn": lambda _: None,
        "cancelled": threading.Event(),
    }
    return Objects(cluster, settings or Settings(), **{**values, **given})


def waiter(
    cluster: Cluster,
    *,
    timeout: float = 30,
    said: list[str] | None = None,
    cancelled: threading.Event | None = None,
) -> Waiter:
    lines = [] if said is None else said
    return Waiter(
        cluster,
        report=lines.append,
        cancelled=cancelled or threading.Event(),
        timeout=timeout,
    )


def test_waiting_ends_when_the_object_is_ready_and_says_each_thing_once() -> None:
    said: list[str] = []
    states = iter([waiting("one"), waiting("one"), waiting("two", ("why",)), READY])
    cluster = ScriptedCluster(gets=[thing(status=number) for number in range(4)])

    live = waiter(cluster, said=said).until_ready(thing(), lambda *_: next(states))

    assert live["status"] == 3
    assert said == ["one", "two; why"]


def test_waiting_ends_at_once_when_the_object_has_failed() -> None:
    cluster = ScriptedCluster(gets=[thing()])
    with pytest.raises(NotReadyError, match="broken") as caught:
        waiter(cluster).until_ready(thing(), lambda *_: failed("broken", ("why",)))
    assert caught.value.problems == ("why",)


def test_waiting_ends_when_time_is_up_and_says_what_was_missing() -> None:
    cluster = ScriptedCluster(gets=[thing()])
    with pytest.raises(NotReadyError, match=r"timed out after 0\.1 s\. not bound"):
        waiter(cluster, timeout=0.1).until_ready(thing(), lambda *_: waiting("not bound"))


def test_waiting_ends_at_once_when_the_user_cancels() -> None:
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    begin = time.monotonic()
    with pytest.raises(NotReadyError, match="the operation was cancelled"):
        waiter(ScriptedCluster(gets=[thing()]), cancelled=cancelled).until_ready(
            thing(), lambda *_: waiting("x")
        )
    assert time.monotonic() - begin < 2


def test_waiting_survives_a_restart_of_the_api_server() -> None:
    cluster = ScriptedCluster(gets=[UnreachableError("gone"), ClusterError("busy"), thing()])
    assert waiter(cluster).until_ready(thing(), lambda *_: READY) == thing()


def test_an_object_that_others_delete_is_not_waited_for() -> None:
    with pytest.raises(NotReadyError, match="was deleted"):
        waiter(ScriptedCluster()).until_ready(thing(), lambda *_: READY)


def test_an_object_is_gone_when_another_has_its_name() -> None:
    other = thing(metadata={"uid": "2"})
    waiter(ScriptedCluster(gets=[thing(), other])).until_gone(thing())


def test_what_holds_an_object_back_is_named() -> None:
    held = thing(metadata={"finalizers": ["example.org/hold"]})
    with pytest.raises(PluginError, match=r"finalizers: example\.org/hold"):
        waiter(ScriptedCluster(gets=[held]), timeout=0.1).until_gone(thing())


def test_an_object_that_is_not_ready_comes_with_its_state() -> None:
    job = thing("Job", api_version="batch/v1")
    broken = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    live = {**job, "status": {"conditions": [broken]}, "token": "x"}
    with pytest.raises(ResourceInitError) as caught:
        objects(Applying([job], gets=(live,)), Settings(upsert=True)).create(
            {**job, "token": Secret("x")}, timeout=0
        )
    assert caught.value.resource_id == "default/it"
    assert caught.value.outputs["status"] == live["status"]
    assert caught.value.outputs["token"] == Secret("x")
    assert caught.value.reasons[0].endswith(
        '"default/it" failed to fully initialize or become live: Job "default/it" failed'
    )
    assert caught.value.reasons[1:] == ["[BackoffLimitExceeded]"]


def test_creation_waits_for_a_namespace_or_kind_that_is_being_made() -> None:
    answers: list[Object | Exception] = [
        NotFoundError("no namespace"),
        UnknownKindError("no kind"),
        thing(),
    ]
    assert objects(Applying(answers)).create(thing(), timeout=0) == thing()


def test_a_refusal_names_the_object() -> None:
    with pytest.raises(
        PluginError, match=r"resource default/it was not successfully created .*: no"
    ):
        objects(Applying([ClusterError("no")])).create(thing(), timeout=0)
    with pytest.raises(
        PluginError, match=r"resource default/it was not successfully updated .*: no"
    ):
        objects(Applying([FieldConflictError("no")])).update(thing(), timeout=0)


def test_others_fields_are_taken_over_only_when_asked() -> None:
    forcing = {"annotations": {"pulumi.com/patchForce": "true"}}
    for manifest, settings, forced in (
        (thing(), Settings(), False),
        (thing(metadata=forcing), Settings(), True),
        (thing(), Settings(patch_force=True), True),
    ):
        cluster = Applying([manifest])
        objects(cluster, settings).update(manifest, timeout=0)
        assert cluster.forced == [forced]


def test_an_object_that_exists_is_taken_over_only_when_asked() -> None:
    cluster = Applying([thing()], gets=(thing(),))
    with pytest.raises(PluginError, match="it exists already"):
        objects(cluster).create(thing(), timeout=0)
    assert not cluster.forced, "nothing was applied"
    assert objects(cluster, Settings(upsert=True)).create(thing(), timeout=0) == thing()


def test_values_not_known_yet_are_foretold_without_asking() -> None:
    cluster = ScriptedCluster(planned=AssertionError("asked"))
    told = objects(cluster).foretell({**thing(), "data": {"a": UNKNOWN}})
    assert told["data"] == {"a": UNKNOWN}
    assert told["status"] is UNKNOWN


def test_a_kind_that_is_not_served_yet_is_foretold_from_its_inputs() -> None:
    told = objects(ScriptedCluster(planned=UnknownKindError("no"))).foretell(thing(spec=1))
    assert told["spec"] == 1
    assert told["status"] is UNKNOWN


def test_what_the_server_would_refuse_fails_the_preview() -> None:
    with pytest.raises(PluginError, match=r"\.spec\.tempate: field not declared"):
        objects(
            ScriptedCluster(planned=ClusterError(".spec.tempate: field not declared in schema"))
        ).foretell(thing())


@pytest.mark.parametrize(
    "refusal",
    [
        InvalidError("field is immutable"),
        ClusterError('admission webhook "validator" denied the request: field is immutable'),
    ],
)
def test_a_replacement_is_foretold_though_the_old_object_forbids_it(refusal: ClusterError) -> None:
    told = objects(ScriptedCluster(gets=[thing()], planned=refusal)).foretell(thing(spec=2))
    assert told["spec"] == 2
    with pytest.raises(PluginError, match="field is immutable"):
        objects(ScriptedCluster(planned=refusal)).foretell(thing(spec=2))


def test_a_refusal_does_not_tell_secrets() -> None:
    refusal = ClusterError('Invalid value: "hunter2"')
    with pytest.raises(PluginError, match=r'Invalid value: "\[secret\]"'):
        objects(Applying([refusal])).create(thing(token=Secret("hunter2")), timeout=0)


def test_deletion_is_in_the_foreground_unless_the_program_says_otherwise() -> None:
    for annotations, policy in (
        ({}, "Foreground"),
        ({"pulumi.com/deletionPropagationPolicy": "orphan"}, "Orphan"),
    ):
        given = thing(metadata={"annotations": annotations})
        cluster = Deleting(gets=[given, NotFoundError("gone")])
        objects(cluster).delete(given, given, timeout=0)
        assert cluster.deleted == [policy]


def test_a_policy_that_does_not_exist_is_refused() -> None:
    given = thing(metadata={"annotations": {"pulumi.com/deletionPropagationPolicy": "later"}})
    with pytest.raises(PluginError, match="one of background, foreground, orphan; got 'later'"):
        objects(Deleting(gets=[given])).delete(given, given, timeout=0)


def test_deletion_does_not_wait_when_the_program_says_so() -> None:
    given = thing(metadata={"annotations": {"pulumi.com/skipAwait": "true"}})
    objects(Deleting(gets=[given])).delete(given, given, timeout=0.1)


@pytest.mark.parametrize("error", [NotFoundError("gone"), UnknownKindError("no such kind")])
def test_what_is_gone_is_deleted(error: Exception) -> None:
    objects(Deleting(gets=[error])).delete(thing(), thing(), timeout=0)


def test_a_cluster_that_is_gone_keeps_its_objects_in_the_state_unless_told_otherwise() -> None:
    warnings: list[str] = []
    cluster = Deleting(gets=[UnreachableError("unreachable")])
    with pytest.raises(UnreachableError):
        objects(cluster).delete(thing(), thing(), timeout=0)
    objects(cluster, Settings(delete_unreachable=True), warn=warnings.append).delete(
        thing(), thing(), timeout=0
    )
    assert "dropped from the state" in warnings[0]


def test_a_refresh_keeps_a_failed_object_marked_and_waits_for_none() -> None:
    def state(*conditions: Object) -> Object:
        return thing("Job", api_version="batch/v1", status={"conditions": list(conditions)})

    broken: Object = {"type": "Failed", "status": "True", "reason": "x"}
    objects(ScriptedCluster()).require_health(state(), thing("Job", api_version="batch/v1"))
    with pytest.raises(ResourceInitError):
        objects(ScriptedCluster()).require_health(
            state(broken), thing("Job", api_version="batch/v1")
        )
