"""How the steps of `pulumi preview --json` are read, and what is said where there are none."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from operations.errors import OperationsError
from operations.preview.compare import Action
from operations.preview.differences import UNKNOWN
from operations.preview.formats import as_json, markdown, text
from operations.preview.live import preview_live, summarised
from operations.preview.summary import StackSummary, Summary
from operations.preview.warnings import warnings

PREFIX = "urn:pulumi:prod::ft-serving::"
# Pulumi's marks of a special value and of a secret, in sdk/go/common/resource/sig.
SIGNATURE, MARK = "4dabf18193072939515e22adb298388d", "1b47061264138c4ac30d75fd1eb44270"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"


def step(
    operation: str,
    kind: str,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    **told: Any,
) -> dict[str, Any]:
    """A step as `pulumi preview --json --show-sames` writes it."""
    states = {"oldState": old, "newState": new}
    urn = f"{PREFIX}ft-serving:components:Thing${kind}::it"
    return {
        "op": operation,
        "urn": urn,
        **{
            name: {"urn": urn, "type": kind, "inputs": inputs, **(options or {})}
            for name, inputs in states.items()
            if inputs is not None
        },
        **told,
    }


def test_the_three_steps_of_a_replacement_are_one_change() -> None:
    old, new = ({"spec": {"storageClassName": it}} for it in ("slow", "fast"))
    told: dict[str, Any] = {"replaceReasons": ["spec.storageClassName"]}
    steps = [
        step("create-replacement", CLAIM, old=old, new=new, options={"protect": True}, **told),
        step("replace", CLAIM, old=old, new=new, options={"protect": True}, **told),
        step("delete-replaced", CLAIM, old=old, options={"protect": True}),
    ]
    (change,) = summarised(steps).changes
    assert change.action is Action.REPLACE
    assert [str(it) for it in change.reasons] == ["spec.storageClassName"]
    (warning,) = warnings([change])
    assert "`it` would be replaced (`spec.storageClassName`). DATA LOSS" in warning
    assert warning.endswith("while `storage.protect` is true.")


def test_what_stays_is_there_and_no_change() -> None:
    live = summarised([step("same", CLAIM, old={"a": 1}, new={"a": 1})])
    assert live.changes == ()
    assert len(live.before) == len(live.after) == 1


def test_what_exists_in_pulumi_alone_is_left_out() -> None:
    steps = [
        step("create", "ft-serving:components:Access", new={}),
        step("read", "kubernetes:core/v1:Pod", new={}),
        {"op": "create", "urn": f"{PREFIX}pulumi:pulumi:Stack::ft-serving-prod", "newState": {}},
    ]
    assert summarised(steps).changes == ()


def test_what_goes_is_not_there_afterwards() -> None:
    live = summarised([step("delete", CLAIM, old={"a": 1}, options={"retainOnDelete": True})])
    assert live.after == ()
    (warning,) = warnings(live.changes)
    assert "would be deleted. Pulumi forgets the old one" in warning


def test_a_reason_within_a_list_finds_its_property() -> None:
    inputs = ({"spec": {"containers": [{"name": "one", "image": it}]}} for it in "ab")
    old, new = inputs
    reasons = ["spec.containers[0].image"]
    steps = [step("replace", "k:v1:Job", old=old, new=new, replaceReasons=reasons)]
    (change,) = summarised(steps).changes
    assert [str(it) for it in change.reasons] == ["spec.containers.one.image"]


def test_a_difference_that_the_provider_alone_sees_is_named() -> None:
    told: dict[str, Any] = {"detailedDiff": {'metadata.annotations["a.b/c"]': {"kind": "update"}}}
    live = summarised([step("update", "k:v1:Job", old={"a": 1}, new={"a": 1}, **told)])
    whole = Summary(against="it", stacks=(StackSummary(stack="s", changes=live.changes),))
    assert "      metadata.annotations['a.b/c']" in text(whole).splitlines()


def test_a_value_that_is_not_known_yet_is_said_to_be_none() -> None:
    old, new = {"metadata": {"name": "job-1"}}, {"metadata": {"name": UNKNOWN}}
    live = summarised([step("replace", "k:v1:Job", old=old, new=new)])
    whole = Summary(against="it", stacks=(StackSummary(stack="s", changes=live.changes),))
    assert '      metadata.name: "job-1" → (known once it exists)' in text(whole).splitlines()


def test_no_secret_of_a_state_is_shown() -> None:
    def secret(value: str) -> dict[str, Any]:
        # Pulumi itself blinds them; a state of another version may not be.
        return {"data": {"x": {SIGNATURE: MARK, "ciphertext": value, "plaintext": value}}}

    old, new = secret("hunter2"), {**secret("hunter3"), "__defaults": ["hunter4"]}
    live = summarised([step("update", "kubernetes:core/v1:Secret", old=old, new=new)])
    whole = Summary(against="it", stacks=(StackSummary(stack="s", changes=live.changes),))
    for written in (text(whole), markdown(whole), as_json(whole)):
        assert "hunter" not in written


def fake_pulumi(folder: Path, output: str, code: int) -> Path:
    """A `pulumi` that writes something and what it was called with."""
    folder.mkdir()
    (folder / "output").write_text(output)
    program = folder / "pulumi"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/arguments\ncat {folder}/output\n'
        f"echo salt >>$(tail -n 1 {folder}/arguments)\nexit {code}\n"
    )
    program.chmod(0o755)
    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text("config: {}\n")
    return file


def test_pulumi_works_on_a_copy_of_the_stacks_file(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_pulumi(tmp_path / "bin", json.dumps({"steps": []}), 0)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    assert preview_live(tmp_path, "team/prod", settings).changes == ()
    assert settings.read_text() == "config: {}\n"
    arguments = (folder / "arguments").read_text().splitlines()
    assert arguments[0] == "preview"
    assert arguments[arguments.index("--stack") + 1] == "team/prod"
    assert arguments[-2] == "--config-file"


def test_all_that_the_program_says_is_the_reason(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = (
        "error: gpu.type: must …\nstorage.size: must …",
        "error: an unhandled error occurred: program exited with non-zero exit code: 1",
    )
    diagnostics = [{"severity": "error", "message": it} for it in messages]
    diagnostics.append({"severity": "warning", "message": "nothing"})
    output = json.dumps({"steps": [], "diagnostics": diagnostics})
    folder = fake_pulumi(tmp_path / "bin", output, 255)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    refused = preview_live(tmp_path, "prod", settings).refused
    assert refused == "gpu.type: must …\nstorage.size: must …"


@pytest.mark.parametrize("output", ["error: no stack named 'prod' found", "[]"])
def test_what_pulumi_says_otherwise_is_shown_as_it_is(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.setenv("PATH", str(fake_pulumi(tmp_path / "bin", output, 255)), prepend=":")
    assert preview_live(tmp_path, "prod", settings).refused == output


def test_without_pulumi_or_the_stacks_file_it_says_so(
    tmp_path: Path, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OperationsError, match=r"cannot be run: .*Pulumi\.other\.yaml"):
        preview_live(tmp_path, "other", tmp_path / "Pulumi.other.yaml")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationsError, match=r"cannot be run: .*pulumi.*Without --live"):
        preview_live(tmp_path, "prod", settings)
