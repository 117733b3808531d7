"""The command without credentials: both states of the project rendered, and compared."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from ft_serving.cli import app
from operations.errors import OperationsError
from operations.preview.compare import Action
from operations.preview.rendered import checkout, render
from operations.preview.summary import StackSummary, summarise_rendered
from tests.operations.preview.states import summary, summary_with
from tests.stacks.documents import GPU

SECRET = "v1:QkFTRTY0:notthetokenitself"
PROGRAM = """
import os, pulumi
config = pulumi.Config("ft-serving")
if config.get("refused"):
    raise pulumi.RunError(config.get("refused"))
shell = {key: value for key, value in os.environ.items() if key.startswith(("KUBE", "PULUMI_"))}
image = {"spec": {"template": "VERSION"}, "shell": shell}
pulumi.CustomResource("kubernetes:batch/v1:Job", "model-download", image)
login = {"stringData": {"password": config.get_secret("password")}}
pulumi.CustomResource("kubernetes:core/v1:Secret", "access-registry", login)
"""
"""Refuses what a setting says, and makes a Job and a Secret."""


def project(folder: Path, version: str, **stacks: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text("name: ft-serving\n")
    (folder / "__main__.py").write_text(PROGRAM.replace("VERSION", version))
    for stack, settings in stacks.items():
        config = {f"ft-serving:{name}": value for name, value in settings.items()}
        (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))
    return folder


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and a head that differ in every way at once."""
    folder = tmp_path_factory.mktemp("projects")
    login = {**GPU, "password": {"secure": SECRET}}
    refused = {"refused": "gpu.type: must …\nmodel.dtype: must …"}
    base = project(folder / "base", "1", broken=refused, goes=GPU, stays=login)
    login = {**GPU, "password": {"secure": f"{SECRET}2"}}
    head = project(folder / "head", "2", broken=GPU, comes=GPU, stays=login, wrong=refused)
    return base, head


@pytest.fixture(scope="module")
def stacks(projects: tuple[Path, Path]) -> dict[str, StackSummary]:
    base, head = projects
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", "/nowhere")
        patch.setenv("PULUMI_CONFIG", '{"ft-serving:refused": "by the shell"}')
        return {it.stack: it for it in summarise_rendered(head, (), str(base)).stacks}


def test_every_stack_of_either_state_is_there(stacks: dict[str, StackSummary]) -> None:
    assert list(stacks) == ["broken", "comes", "goes", "stays", "wrong"]
    assert {it.action for it in stacks["comes"].changes} == {Action.CREATE}


def test_another_program_and_another_secret_are_changes_and_nothing_of_the_shell_is(
    stacks: dict[str, StackSummary],
) -> None:
    job, secret = stacks["stays"].changes
    assert (job.action, job.resource.name) == (Action.REPLACE, "model-download")
    assert [(str(it), it.old, it.new) for it in job.properties] == [("spec.template", "1", "2")]
    assert job.resource.inputs["shell"] == {}
    assert (secret.action, secret.resource.name) == (Action.REPLACE, "access-registry")
    assert SECRET not in str(stacks["stays"])


def test_a_stack_that_goes_is_said_to_stay_deployed(stacks: dict[str, StackSummary]) -> None:
    assert {it.action for it in stacks["goes"].changes} == {Action.DELETE}
    (warning,) = stacks["goes"].warnings
    assert "stays, and costs, until `pulumi destroy`" in warning


def test_a_refused_stack_has_all_problems_and_a_refused_base_is_no_failure(
    stacks: dict[str, StackSummary],
) -> None:
    assert stacks["wrong"].refused == "gpu.type: must …\nmodel.dtype: must …"
    assert "gpu.type: must …" in stacks["broken"].note
    assert (stacks["broken"].refused, stacks["broken"].changes) == ("", ())


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    head = project(tmp_path / "head", "1", prod=GPU)
    (head / "__main__.py").write_text("import nosuch\n")
    with pytest.raises(OperationsError, match=r"fails: .*No module named 'nosuch'"):
        render(head, ["prod"])


def test_a_stack_that_does_not_exist_is_refused_with_those_that_do(
    projects: tuple[Path, Path],
) -> None:
    base, head = projects
    with pytest.raises(OperationsError, match=r"no stack `nosuch`. There are broken, comes, goes"):
        summarise_rendered(head, ["nosuch"], str(base))


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=me", "-c", "user.email=me@example.com", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_commit_is_taken_as_it_was_and_the_checkout_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: one\n")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "One")
    (tmp_path / "Pulumi.yaml").write_text("name: two\n")
    (tmp_path / "new").write_text("")
    git(tmp_path, "add", "new")
    status = git(tmp_path, "status", "--porcelain")
    with checkout(tmp_path, "HEAD") as folder:
        assert (folder / "Pulumi.yaml").read_text() == "name: one\n"
        modes = [(it / "run.sh").stat().st_mode for it in (folder, tmp_path)]
        assert modes[0] == modes[1], "modes are part of what decides an image's tag"
        assert not (folder / "new").exists()
    assert not folder.exists()
    assert git(tmp_path, "status", "--porcelain") == status


@pytest.mark.parametrize("base", ["nosuch", "--upload-pack=x", "", "HEAD:README.md"])
def test_a_base_that_is_neither_folder_nor_commit_is_refused(tmp_path: Path, base: str) -> None:
    git(tmp_path, "init", "--quiet")
    refusal = pytest.raises(OperationsError, match=r"--base must be a folder with a Pulumi.yaml or")
    with refusal, checkout(tmp_path, base):
        pass


def run(monkeypatch: pytest.MonkeyPatch, *stacks: StackSummary, options: str = "") -> Result:
    """Run the command where these are the summaries."""
    monkeypatch.setattr(
        "operations.preview.summary.summarise_rendered", lambda *_: summary(*stacks)
    )
    return CliRunner().invoke(app, ["preview", *options.split()])


GOES = StackSummary(stack="goes", warnings=("It goes.",))


def test_changes_and_warnings_are_no_failure_unless_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done = run(monkeypatch, GOES, options="--format json")
    assert done.exit_code == 0
    assert set(json.loads(done.stdout)["stacks"]) == {"goes"}
    failed = run(monkeypatch, GOES, options="--fail-on-warning")
    assert str(failed.exception) == "There are warnings about goes. The summary has them"


def test_a_refused_stack_is_a_failure_after_the_summary_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wrong = StackSummary(stack="wrong", refused="model.dtype: must …")
    done = run(monkeypatch, summary_with((), "stays"), wrong, options="--format markdown")
    assert str(done.exception) == "Stacks cannot be deployed: wrong. The summary says why"
    assert "| `stays` |" in done.stdout
    assert "model.dtype: must …" in done.stdout


@pytest.mark.parametrize("options", ["--live --base main", "--format html"])
def test_wrong_usage_ends_with_2(monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    assert run(monkeypatch, options=options).exit_code == 2
