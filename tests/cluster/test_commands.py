"""`ft-serving gate`, `gate-job` and `diagnose` with an API server that answers from recordings."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from components import kserve
from ft_serving.cli import app
from ft_serving.cluster import commands
from ft_serving.cluster.commands import (
    INFERENCE_SERVICE,
    NAMESPACE,
    TERMINATION_LIMIT,
    write_termination_message,
)
from ft_serving.cluster.diagnosis import Kind
from stacks.sections import ClusterSettings
from tests.client.fake_triton import FakeTriton
from tests.cluster.conftest import Serve
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded
from tests.fake_api import TOKEN
from tests.serving import TINY_GPTJ

PROMPT = "Mary has a little lamb."
ASKED = ("--prompt", PROMPT, "--tokenizer", str(TINY_GPTJ), "--output-length", "4")
GOLDEN = ("--expect-text", " Its fleece is")
COMPLETE = {"type": "Complete", "status": "True"}


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton() as triton:
        yield triton


@pytest.fixture
def termination(tmp_path: Path) -> Path:
    file = tmp_path / "termination"
    file.touch()
    return file


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert TOKEN not in result.output
    return result


def gate(termination: Path, *options: str, name: str = "sound") -> Result:
    where = ("--inference-service", name, "--termination-log", str(termination))
    return run("gate", *where, *ASKED, *options)


@pytest.mark.parametrize("expected", [GOLDEN, ("--expect-token-ids", "348,434,954,357")])
def test_a_right_answer_is_one_line_with_its_latency(
    serve: Serve, triton: FakeTriton, termination: Path, expected: tuple[str, str]
) -> None:
    serve(recorded("sound")[0])
    done = gate(termination, *expected, "--url", triton.url)
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    assert line.startswith("Right answer in 0.")
    assert line.endswith(f" s: {PROMPT} Its fleece is")
    assert termination.read_text() == ""
    inputs = {each["name"]: each["data"] for each in triton.requests[-1].body["inputs"]}
    assert (inputs["runtime_top_k"], inputs["request_output_len"]) == ([1], [4]), "greedy"


def test_an_expected_text_may_be_in_a_file(
    serve: Serve, triton: FakeTriton, termination: Path, tmp_path: Path
) -> None:
    serve(recorded("sound")[0])
    golden = tmp_path / "golden.txt"
    golden.write_text(" Its fleece is")
    done = gate(termination, "--expect-text", f"@{golden}", "--url", triton.url)
    assert done.exit_code == 0, done.output


def test_a_wrong_answer_is_an_error_that_shows_both(
    serve: Serve, triton: FakeTriton, termination: Path
) -> None:
    serve(recorded("sound")[0])
    done = gate(termination, "--expect-words", "snow", "--url", triton.url)
    assert (done.exit_code, done.stdout) == (1, "")
    message = termination.read_text()
    assert "Expected: a text with 'snow'\nGot:      ' Its fleece is'" in message
    assert str(done.exception) == message


def test_a_broken_deployment_ends_with_its_cause(
    serve: Serve, termination: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["ft_serving.cluster.diagnosis.diagnose"]
    monkeypatch.setattr(module, "SETTLING_S", 0)
    serve(recorded("weights-altered")[0])
    done = gate(termination, *GOLDEN, name="weights-altered")
    assert (done.exit_code, done.stdout) == (1, "")
    assert termination.read_text().startswith(
        "InferenceService weights-altered will not become ready.\nThe model cannot be loaded: /mnt"
    )


def test_the_end_of_the_time_is_told_with_the_reason_for_the_wait(
    serve: Serve, termination: Path
) -> None:
    serve(recorded("probe")[0])
    done = gate(termination, *GOLDEN, "--timeout", "1", name="probe")
    assert done.exit_code == 1
    message = termination.read_text()
    assert message.startswith("InferenceService probe is not ready after 1 s")
    assert "HTTP probe did not respond Ready, got status code: 404" in message


def test_a_wrong_tokenizer_is_told_before_the_wait(serve: Serve, termination: Path) -> None:
    api = serve(recorded("sound")[0])
    done = gate(termination, *GOLDEN, "--tokenizer", "no/such/file")
    assert done.exit_code == 1
    assert "no/such/file: no such file" in termination.read_text()
    assert api.asked == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "say what to expect"),
        ((*GOLDEN, "--expect-words", "snow"), "say what to expect"),
        (("--expect-token-ids", "348,fleece"), "must be numbers with commas"),
        (("--expect-text", "@/no/such/file"), "cannot be read"),
        ((*GOLDEN, "--timeout", "0"), "--timeout"),
    ],
)
def test_wrong_usage_ends_with_2(termination: Path, options: tuple[str, ...], words: str) -> None:
    done = gate(termination, *options)
    assert done.exit_code == 2
    assert words in done.stderr


def gate_job(serve: Serve, termination: Path, *conditions: dict[str, str]) -> Result:
    """Wait for a Job whose status has these conditions, without pods; else as it was recorded."""
    snapshot, _ = recorded("job")
    if conditions:
        job = {**snapshot.all(Kind.JOBS)[0], "status": {"conditions": list(conditions)}}
        snapshot = changed(snapshot, jobs=[job], pods=[])
    api = serve(snapshot)
    api.answers = {"/inferenceservices": (404, {"message": "a cluster without KServe"})}
    log = ("--termination-log", str(termination))
    return run("gate-job", "--job", "weights", "--timeout", "1", *log)


def test_a_job_that_failed_ends_its_gate_with_the_jobs_own_words(
    serve: Serve, termination: Path
) -> None:
    done = gate_job(serve, termination)
    assert (done.exit_code, done.stdout) == (1, "")
    assert termination.read_text() == (
        "Job weights does not succeed.\nIt failed (BackoffLimitExceeded): Error: The hub answers "
        "401: give a token that may read EleutherAI/gpt-j-6b (HF_TOKEN)"
    )


def test_a_job_that_succeeded_ends_its_gate(serve: Serve, termination: Path) -> None:
    done = gate_job(serve, termination, COMPLETE)
    assert (done.exit_code, done.stdout) == (0, "Job weights has succeeded\n"), done.output
    assert termination.read_text() == ""


def test_a_job_that_takes_longer_ends_its_gate_with_the_reason_for_the_wait(
    serve: Serve, termination: Path
) -> None:
    assert gate_job(serve, termination, {**COMPLETE, "status": "False"}).exit_code == 1
    message = termination.read_text()
    assert message.startswith("Job weights has not succeeded after 1 s")
    assert message.endswith("\nit has no pod yet")


def test_a_message_that_is_too_long_keeps_its_beginning_and_whole_characters(
    termination: Path,
) -> None:
    write_termination_message(termination, "x" * TERMINATION_LIMIT)
    assert termination.read_text() == "x" * 4096
    write_termination_message(termination, "The cause. " + "ä" * 4096)
    content = termination.read_bytes()
    assert TERMINATION_LIMIT - 4 < len(content) <= 4096
    assert content.startswith(b"The cause. ")
    assert content.decode().endswith("ä\n… (the log has the rest)")
    termination.unlink()
    write_termination_message(termination, "There is no such file outside of a container")
    assert not termination.exists()


def diagnose(serve: Serve, recording: str, *options: str) -> Result:
    snapshot, _ = recorded(recording)
    pods: Any = snapshot.all(Kind.PODS)
    for pod in pods:
        pod["spec"]["containers"][0]["env"] = [{"name": "HF_TOKEN", "value": "hf_neverShown"}]
    serve(snapshot)
    done = run("diagnose", "--namespace", snapshot.namespace, "--inference-service",
               snapshot.name, *options)  # fmt: skip
    assert "hf_neverShown" not in done.output
    return done


@pytest.mark.parametrize(
    ("recording", "code", "first"),
    [
        ("sound", 0, "gate-sound/sound  READY"),
        ("oom", 1, "gate-bad/oom  FAILED (memory)"),
        ("starting-loading", 3, "gate-sound/starting  ON ITS WAY"),
    ],
)
def test_the_exit_code_of_diagnose_says_the_state(
    serve: Serve, recording: str, code: int, first: str
) -> None:
    done = diagnose(serve, recording)
    assert (done.exit_code, done.stdout.splitlines()[0], done.stderr) == (code, first, "")


def test_json_has_all_of_a_report_and_nothing_secret(serve: Serve) -> None:
    done = diagnose(serve, "gpu", "--json")
    assert done.exit_code == commands.FAILED
    document = json.loads(done.stdout)
    assert (document["standing"], document["cause"]) == ("failed", "unschedulable")
    assert document["pods"][0]["created"] == "2026-11-23T16:59:29+00:00"
    assert "nvidia.com/gpu" in document["reason"]


def test_the_defaults_of_diagnose_are_the_programs_names() -> None:
    assert kserve.NAME == INFERENCE_SERVICE
    assert ClusterSettings().namespace == NAMESPACE
