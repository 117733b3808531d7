"""Pulumi's steps (`pulumi preview --json`) are read, and its refusals handed on."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from operations.errors import OperationsError
from operations.preview.compare import Action
from operations.preview.differences import UNKNOWN
from operations.preview.formats import as_json, markdown, text
from operations.preview.live import Live, preview_live, summarised
from operations.preview.warnings import warnings
from tests.operations.preview.states import in_text, summary, summary_with

PREFIX = "urn:pulumi:prod::ft-serving::"
# Pulumi's marks of a special value and of a secret, in sdk/go/common/resource/sig.
SIGNATURE, MARK = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
JOB = "kubernetes:batch/v1:Job"


def step(
    operation: str,
    kind: str,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    *,
    options: Mapping[str, Any] | None = None,
    **told: Any,
) -> dict[str, Any]:
    """A step as `pulumi preview --json --show-sames` writes it."""
    urn = f"{PREFIX}ft-serving:components:Thing${kind}::it"
    states = {
        name: {"urn": urn, "type": kind, "inputs": inputs, **(options or {})}
        for name, inputs in (("oldState", old), ("newState", new))
        if inputs is not None
    }
    return {"op": operation, "urn": urn, **states, **told}


def test_the_three_steps_of_a_replacement_are_one_change() -> None:
    old, new = ({"spec": {"storageClassName": it}} for it in ("slow", "fast"))
    told: dict[str, Any] = {
        "replaceReasons": ["spec.storageClassName"],
        "options": {"protect": True},
    }
    steps = [
        step("create-replacement", CLAIM, old, new, **told),
        step("replace", CLAIM, old, new, **told),
        step("delete-replaced", CLAIM, old, options={"protect": True}),
    ]
    (change,) = summarised(steps).changes
    assert change.action is Action.REPLACE
    (warning,) = warnings([change])
    assert "`it` would be replaced (`spec.storageClassName`). DATA LOSS" in warning
    assert warning.endswith("while `storage.protect` is true.")


def test_a_resource_that_stays_is_no_change() -> None:
    live = summarised([step("same", CLAIM, {"a": 1}, {"a": 1})])
    assert live.changes == ()
    assert len(live.before) == len(live.after) == 1


def test_resources_that_exist_only_in_pulumi_are_left_out() -> None:
    stack = {"op": "create", "urn": f"{PREFIX}pulumi:pulumi:Stack::ft-serving-prod", "newState": {}}
    component = step("create", "ft-serving:components:Access", new={})
    read = step("read", "kubernetes:core/v1:Pod", new={})
    assert summarised([component, read, stack]) == Live()


def test_a_resource_that_goes_is_not_there_afterwards() -> None:
    live = summarised([step("delete", CLAIM, {"a": 1}, options={"retainOnDelete": True})])
    assert live.after == ()
    (warning,) = warnings(live.changes)
    assert "would be deleted. Pulumi forgets the old one" in warning


def test_a_reason_within_a_list_finds_its_property() -> None:
    old, new = ({"spec": {"containers": [{"name": "one", "image": it}]}} for it in "ab")
    (change,) = summarised(
        [step("replace", JOB, old, new, replaceReasons=["spec.containers[0].image"])]
    ).changes
    assert [str(it) for it in change.reasons] == ["spec.containers.one.image"]


@pytest.mark.parametrize(
    ("old", "new", "told", "line"),
    [
        (
            {"a": 1},
            {"a": 1},
            {"detailedDiff": {'metadata.annotations["a.b/c"]': {"kind": "update"}}},
            "      metadata.annotations['a.b/c']",
        ),
        ({"a": "b"}, {"a": UNKNOWN}, {}, '      a: "b" → (known once it exists)'),
    ],
)
def test_a_value_that_nobody_knows_here_is_named_without_it(
    old: dict[str, Any], new: dict[str, Any], told: dict[str, Any], line: str
) -> None:
    live = summarised([step("update", JOB, old, new, **told)])
    assert line in in_text(summary_with(live.changes))


def test_no_secret_of_a_state_is_shown() -> None:
    def secret(value: str) -> dict[str, Any]:
        # Pulumi itself blinds them; a state of another version may not be.
        return {"data": {"x": {SIGNATURE: MARK, "ciphertext": value, "plaintext": value}}}

    old, new = secret("hunter2"), {**secret("hunter3"), "__defaults": ["hunter4"]}
    live = summarised([step("update", "kubernetes:core/v1:Secret", old, new)])
    for write in (text, markdown, as_json):
        assert "hunter" not in write(summary(summary_with(live.changes)))


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text("config: {}\n")
    return file


def preview(settings: Path, monkeypatch: pytest.MonkeyPatch, output: str, code: int) -> Live:
    """Preview by a `pulumi` that writes something, and its arguments into a file."""
    folder = settings.parent
    (folder / "output").write_text(output)
    program = folder / "pulumi"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/arguments\ncat {folder}/output\n'
        f"echo salt >>$(tail -n 1 {folder}/arguments)\nexit {code}\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return preview_live(folder, "team/prod", settings)


def test_pulumi_works_on_a_copy_of_the_stacks_file(
    settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert preview(settings, monkeypatch, '{"steps": []}', 0) == Live()
    assert settings.read_text() == "config: {}\n"
    arguments = (settings.parent / "arguments").read_text().splitlines()
    assert arguments[0] == "preview"
    assert arguments[arguments.index("--stack") + 1] == "team/prod"
    assert arguments[-2] == "--config-file"


MESSAGES = (
    "error: gpu.type: must …\nstorage.size: must …",
    "error: an unhandled error occurred: program exited with non-zero exit code: 1",
)
DIAGNOSTICS = [{"severity": "error", "message": it} for it in MESSAGES]
NO_STACK = "error: no stack named 'prod' found"


@pytest.mark.parametrize(
    ("output", "refused"),
    [
        (json.dumps({"diagnostics": DIAGNOSTICS}), "gpu.type: must …\nstorage.size: must …"),
        (NO_STACK, NO_STACK),
        ("[]", "[]"),
    ],
)
def test_the_programs_errors_or_else_pulumis_are_the_reason(
    settings: Path, monkeypatch: pytest.MonkeyPatch, output: str, refused: str
) -> None:
    assert preview(settings, monkeypatch, output, 255).refused == refused


def test_without_pulumi_or_the_stacks_file_it_says_so(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperationsError, match=r"cannot be run: .*Pulumi\.other\.yaml"):
        preview_live(tmp_path, "other", tmp_path / "Pulumi.other.yaml")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationsError, match=r"cannot be run: .*pulumi.*Without --live"):
        preview_live(tmp_path, "prod", settings)
