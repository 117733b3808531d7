"""The workflows: what they may do, what they run, and the comment that they keep."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations.preview.formats import MARKER
from tests.stacks.documents import ROOT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yaml"))


def workflow(name: str) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return loaded


def steps(jobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda it: it.stem)
def test_every_action_is_pinned_by_its_commit(file: Path) -> None:
    used = [it["uses"] for it in steps(workflow(file.stem)["jobs"]) if "uses" in it]
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), "a tag can be moved"


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda it: it.stem)
def test_no_script_has_an_expression_in_it(file: Path) -> None:
    for step in steps(workflow(file.stem)["jobs"]):
        assert "${{" not in step.get("run", ""), "what a pull request says would be run"


def test_code_of_a_pull_request_never_runs_with_a_token_that_writes() -> None:
    preview = workflow("preview")
    # YAML 1.1 reads the key `on` as a truth value.
    assert preview[True] == "pull_request", "pull_request_target has secrets, for forks too"
    assert preview["permissions"] == {}
    for name, job in preview["jobs"].items():
        runs_code = any("checkout" in step.get("uses", "") for step in job["steps"])
        expected = {"contents": "read"} if runs_code else {"pull-requests": "write"}
        assert job["permissions"] == expected, name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False
    assert "secrets." not in yaml.safe_dump(preview["jobs"]["render"])


@pytest.mark.parametrize("job", ["live", "comment"])
def test_forks_get_neither_credentials_nor_a_comment(job: str) -> None:
    same = "github.event.pull_request.head.repo.full_name == github.repository"
    assert same in workflow("preview")["jobs"][job]["if"]


def test_the_versions_are_those_of_the_project() -> None:
    (pulumi,) = [it for it in steps(workflow("preview")["jobs"]) if "pulumi/" in it.get("uses", "")]
    pinned = re.search(
        r"^pulumi==(\S+)", (ROOT / "requirements/dev.lock").read_text(), re.MULTILINE
    )
    assert pinned
    assert pulumi["with"]["pulumi-version"] == pinned[1]


def bash(script: str, folder: Path, programs: dict[str, str], **variables: str) -> Any:
    binaries = folder / "bin"
    binaries.mkdir(exist_ok=True)
    for name, text in programs.items():
        (binaries / name).write_text(f"#!/bin/bash\n{text}\n")
        (binaries / name).chmod(0o755)
    environment = {"PATH": f"{binaries}:{os.environ['PATH']}", **variables}
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("code", [0, 1])
def test_the_summary_is_published_also_when_a_stack_is_refused(tmp_path: Path, code: int) -> None:
    (tmp_path / ".venv/bin").mkdir(parents=True)
    command = tmp_path / ".venv/bin/ft-serving"
    command.write_text(f'#!/bin/bash\necho "$*"; echo "two | lines"; exit {code}\n')
    command.chmod(0o755)
    shutil.copy(FOLDER / "preview.sh", tmp_path)
    files = {name: str(tmp_path / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
    done = bash("./preview.sh --base HEAD^1", tmp_path, {}, **files)
    assert done.returncode == code, done.stderr
    summary = "preview --format markdown --base HEAD^1\ntwo | lines\n"
    assert (tmp_path / "GITHUB_STEP_SUMMARY").read_text() == summary
    first, *between, last = (tmp_path / "GITHUB_OUTPUT").read_text().splitlines(keepends=True)
    assert "".join(between) == summary
    assert re.fullmatch(r"summary<<end-[0-9a-f]{32}\n", first)
    assert first.removeprefix("summary<<") == last


COMMENT = f'{MARKER}\n`$(touch hacked)` "quoted" @x\n'


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("", ["--silent", "repos/o/r/issues/7/comments"]),
        ("11", ["--silent", "--method", "PATCH", "repos/o/r/issues/comments/11"]),
        ("11\n12", ["--silent", "--method", "PATCH", "repos/o/r/issues/comments/11"]),
    ],
)
def test_one_comment_is_made_and_then_kept(tmp_path: Path, known: str, expected: list[str]) -> None:
    (step,) = workflow("preview")["jobs"]["comment"]["steps"]
    assert f'startswith("{MARKER}")' in step["run"], "another marker is another comment each time"
    tell = f"if [ \"$2\" = --paginate ]; then printf '%s' '{known}'; exit; fi"
    gh = f"{tell}\nprintf '%s\\0' \"$@\" >>calls"
    variables = {"GITHUB_REPOSITORY": "o/r", "NUMBER": "7", "SUMMARY": COMMENT}
    done = bash(step["run"], tmp_path, {"gh": gh}, **variables)
    assert done.returncode == 0, done.stderr
    calls = (tmp_path / "calls").read_text().split("\0")[:-1]
    assert calls == ["api", *expected, "--raw-field", f"body={COMMENT}"]
    assert not (tmp_path / "hacked").exists()


def test_the_live_job_previews_the_stacks_that_are_named(tmp_path: Path) -> None:
    (step,) = [it for it in workflow("preview")["jobs"]["live"]["steps"] if it.get("id")]
    script = tmp_path / ".github/workflows/preview.sh"
    script.parent.mkdir(parents=True)
    script.write_text('#!/bin/bash\necho "$*"; cat "$KUBECONFIG"; stat -c %a "$KUBECONFIG"\n')
    script.chmod(0o755)
    variables = {"RUNNER_TEMP": str(tmp_path), "KUBECONFIG_TEXT": "kind: Config\n"}
    done = bash(step["run"], tmp_path, {}, **variables, STACKS="staging team/prod")
    assert done.stdout == "--live --stack staging --stack team/prod\nkind: Config\n600\n", (
        done.stderr
    )
