"""The command without credentials: both states of the project rendered, and compared."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from ft_serving.cli import app
from operations.errors import OperationsError
from operations.preview import command
from operations.preview.rendered import checkout, render
from operations.preview.summary import StackSummary, summarise_rendered
from tests.stacks.documents import GPU, PROJECT, ROOT, Document, changed

SECRET = "v1:QkFTRTY0:notthetokenitself"
WITH_SECRET = {"image": {**GPU["image"], "username": "me"}}
PROGRAM = (
    "__main__.py",
    "Pulumi.yaml",
    "components",
    "ft_serving",
    "images",
    "operations",
    "stacks",
)
BUILT_FROM = ("models/tiny-gptj", "pyproject.toml", "requirements", "README.md", "LICENSE")


def project(folder: Path, stacks: dict[str, Document]) -> Path:
    """A copy of the program, with stacks of its own."""
    for name in PROGRAM + BUILT_FROM:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    for stack, document in stacks.items():
        write(folder, stack, document)
    return folder


def write(folder: Path, stack: str, document: Document) -> None:
    config = {f"{PROJECT}{name}": value for name, value in document.items()}
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}))


def with_secret(text: str) -> Document:
    return changed(GPU, {**WITH_SECRET, "registryPassword": {"secure": text}})


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A base and a head that differ in every way at once."""
    folder = tmp_path_factory.mktemp("projects")
    base = project(
        folder / "base",
        {
            "broken": changed(GPU, {"gpu.type": "K80"}),
            "goes": GPU,
            "login": with_secret(SECRET),
            "stays": GPU,
            "wrong": GPU,
        },
    )
    head = project(
        folder / "head",
        {
            "broken": GPU,
            "comes": GPU,
            "login": with_secret(f"{SECRET}2"),
            "stays": GPU,
            "wrong": changed(GPU, {"gpu.type": "K80", "model.dtype": "x"}),
        },
    )
    with (head / "images/weights/Dockerfile").open("a") as file:
        file.write("# Another image.\n")
    return base, head


@pytest.fixture(scope="module")
def stacks(projects: tuple[Path, Path]) -> dict[str, StackSummary]:
    base, head = projects
    return {it.stack: it for it in summarise_rendered(head, (), str(base)).stacks}


def kinds(summary: StackSummary) -> list[str]:
    return [f"{it.action} {it.resource.kind} {it.resource.name}" for it in summary.changes]


def test_every_stack_of_either_state_is_there(stacks: dict[str, StackSummary]) -> None:
    assert list(stacks) == ["broken", "comes", "goes", "login", "stays", "wrong"]


def test_a_changed_dockerfile_is_another_image_and_another_download(
    stacks: dict[str, StackSummary],
) -> None:
    assert set(kinds(stacks["stays"])) >= {"replace Job model-download", "update Image weights"}
    assert {it.resource.kind for it in stacks["stays"].changes} == {"Image", "Job"}
    assert stacks["stays"].warnings == ()


def test_a_stack_that_comes_is_created(stacks: dict[str, StackSummary]) -> None:
    assert {it.action.value for it in stacks["comes"].changes} == {"create"}
    assert stacks["comes"].before.gpus == (0, 0)
    assert stacks["comes"].after.gpus == (1, 1)


def test_a_stack_that_goes_is_said_to_stay_deployed(stacks: dict[str, StackSummary]) -> None:
    assert {it.action.value for it in stacks["goes"].changes} == {"delete"}
    (warning,) = stacks["goes"].warnings
    assert "stays, and costs, until `pulumi destroy`" in warning
    assert stacks["goes"].after.gpus == (0, 0)


def test_all_problems_of_a_refused_stack_are_told(stacks: dict[str, StackSummary]) -> None:
    for path in ("gpu.type", "model.dtype"):
        assert f"{path}: must" in stacks["wrong"].refused


def test_a_base_that_is_refused_is_not_compared_and_no_failure(
    stacks: dict[str, StackSummary],
) -> None:
    assert "gpu.type: must be one of the choices; got 'K80'" in stacks["broken"].note
    assert not stacks["broken"].refused
    assert stacks["broken"].changes == ()


def test_another_secret_is_a_change_and_is_not_shown(stacks: dict[str, StackSummary]) -> None:
    assert "replace Secret access-registry" in kinds(stacks["login"])
    assert SECRET not in str(stacks["login"])


@pytest.mark.slow
def test_what_the_shell_says_is_no_part_of_a_stack(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, _ = projects
    quiet = render(base, ["stays"])
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    monkeypatch.setenv("PULUMI_CONFIG", '{"ft-serving:gpu": "{}"}')
    assert render(base, ["stays"]) == quiet


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    head = project(tmp_path / "head", {"prod": GPU})
    (head / "components/image.py").unlink()
    with pytest.raises(OperationsError, match=r"fails: .*No module named 'components\.image'"):
        render(head, ["prod"])


def test_a_stack_that_nobody_knows_is_refused_with_those_that_are(
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
    with (
        pytest.raises(
            OperationsError, match=r"--base must be a folder with a Pulumi.yaml or a commit"
        ),
        checkout(tmp_path, base),
    ):
        pass


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["preview", *arguments])


@pytest.mark.slow
def test_the_command_previews_and_succeeds_when_there_are_changes(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, head = projects
    monkeypatch.setattr(command, "ROOT", head)
    done = run("--base", str(base), "--stack", "stays", "--stack", "login", "--format", "json")
    assert done.exit_code == 0
    assert set(json.loads(done.stdout)["stacks"]) == {"stays", "login"}
    assert SECRET not in done.stdout


@pytest.mark.slow
def test_the_command_fails_for_a_refused_stack_after_the_summary_of_all(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, head = projects
    monkeypatch.setattr(command, "ROOT", head)
    done = run("--base", str(base), "--format", "markdown")
    assert isinstance(done.exception, OperationsError)
    assert str(done.exception) == "Stacks cannot be deployed: wrong. The summary says why"
    assert "| `stays` |" in done.stdout
    assert "model.dtype: must be one of the choices" in done.stdout


@pytest.mark.slow
def test_warnings_fail_only_whom_they_are_to_fail(
    projects: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, head = projects
    monkeypatch.setattr(command, "ROOT", head)
    arguments = ("--base", str(base), "--stack", "goes", "--stack", "stays")
    assert run(*arguments).exit_code == 0
    failed = run(*arguments, "--fail-on-warning")
    assert str(failed.exception) == "There are warnings about goes. The summary has them"
    assert run("--base", str(base), "--stack", "stays", "--fail-on-warning").exit_code == 0


@pytest.mark.parametrize("arguments", [("--live", "--base", "main"), ("--format", "html")])
def test_wrong_usage_is_told_apart(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2
