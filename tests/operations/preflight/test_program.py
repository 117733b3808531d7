"""The check that the program makes before Pulumi changes anything."""

from collections.abc import Callable

import pulumi
import pytest

from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from operations.preflight import program
from operations.preflight.facts import FactKind, Facts
from operations.preflight.needs import Needs
from stacks.load import Stack
from tests.operations.preflight.cluster import sound, stack, storage_class

Run = Callable[..., list[str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the check, where a cluster's storage class is another one or does not answer."""
    warned: list[str] = []

    def run(*, preflight: str = "stop", preview: bool, error: Exception | None = None) -> list[str]:
        def read(wanted: Needs, **_: object) -> Facts:
            if error:
                raise error
            facts = sound(wanted)
            objects = {**facts.objects, FactKind.STORAGE_CLASSES: [storage_class("other")]}
            return Facts(version="v1.20.1", groups=facts.groups, objects=objects)

        monkeypatch.setattr(program, "get_monitor", object)
        monkeypatch.setattr(program, "read_facts", read)
        monkeypatch.setattr(pulumi, "warn", warned.append)
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: preview)
        config = stack("dev", {"cluster": {"preflight": preflight}})
        program.preflight(Stack(name="dev", config=config, hub_token=None, registry_password=None))
        return warned

    return run


@pytest.mark.parametrize("preview", [True, False])
def test_errors_end_a_preview_and_an_up_unless_the_stack_wants_warnings(
    run: Run, preview: bool
) -> None:
    with pytest.raises(pulumi.RunError, match=r"(?s)nothing was changed.*StorageClass ft-serving"):
        run(preview=preview)
    kubernetes, classes = sorted(run(preview=preview, preflight="warn")[1:])
    assert kubernetes.startswith("Kubernetes: found v1.20.1"), "a warning is one in any case"
    assert classes.startswith("StorageClass ft-serving-shared: found no such class")


def test_without_a_cluster_a_preview_warns_and_an_up_ends(run: Run) -> None:
    away = ClusterUnavailableError("The API server does not answer")
    (warning,) = run(preview=True, error=away)
    assert warning == "The cluster was not checked. The API server does not answer"
    with pytest.raises(pulumi.RunError, match="does not answer"):
        run(preview=False, error=away)
    with pytest.raises(pulumi.RunError, match="not you"):
        run(preview=True, error=ClusterRefusalError("not you"))
