"""`ft-serving gate` against an API server and a model server that answer from recordings."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.fake_triton import FakeTriton
from tests.cluster.diagnosis.recorded_api import RecordedApi, recorded_api
from tests.cluster.diagnosis.recorded_snapshots import recorded
from tests.fake_api import TOKEN
from tests.serving import TINY_GPTJ

PROMPT = "Mary has a little lamb."
ASKED = ("--prompt", PROMPT, "--tokenizer", str(TINY_GPTJ), "--output-length", "4")
GOLDEN = ("--expect-text", " Its fleece is")


@pytest.fixture
def api() -> Iterator[RecordedApi]:
    with recorded_api(recorded("sound")[0]) as api:
        yield api


@pytest.fixture
def triton() -> Iterator[FakeTriton]:
    with FakeTriton() as triton:
        yield triton


def gate(api: RecordedApi, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its termination message is in the file `termination` of the folder."""
    (folder / "termination").touch()
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ft-serving")), "gate"),
            *("--inference-service", api.snapshot.name, *ASKED, *options),
            *("--termination-log", str(folder / "termination")),
        ],
        env={**os.environ, "KUBECONFIG": str(api.kubeconfig(folder))},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_right_answer_is_one_line_with_its_latency(
    api: RecordedApi, triton: FakeTriton, tmp_path: Path
) -> None:
    done = gate(api, tmp_path, *GOLDEN, "--url", triton.url)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    assert line.startswith("Right answer in 0.")
    assert line.endswith(f" s: {PROMPT} Its fleece is")
    assert (tmp_path / "termination").read_text() == ""


def test_the_question_is_greedy(api: RecordedApi, triton: FakeTriton, tmp_path: Path) -> None:
    done = gate(api, tmp_path, *GOLDEN, "--url", triton.url)
    assert done.returncode == 0, done.stderr
    inputs = {each["name"]: each["data"] for each in triton.requests[-1].body["inputs"]}
    assert (inputs["runtime_top_k"], inputs["request_output_len"]) == ([1], [4])


def test_an_answer_may_be_expected_by_its_tokens(
    api: RecordedApi, triton: FakeTriton, tmp_path: Path
) -> None:
    done = gate(api, tmp_path, "--expect-token-ids", "348,434,954,357", "--url", triton.url)
    assert done.returncode == 0, done.stderr
    done = gate(api, tmp_path, "--expect-token-ids", "348,434,954,15", "--url", triton.url)
    assert done.returncode == 1
    assert "Expected: the tokens 348,434,954,15" in done.stderr
    assert "its tokens are 348,434,954,357" in done.stderr


def test_an_expected_text_may_be_in_a_file(
    api: RecordedApi, triton: FakeTriton, tmp_path: Path
) -> None:
    golden = tmp_path / "golden.txt"
    golden.write_text(" Its fleece is")
    done = gate(api, tmp_path, "--expect-text", f"@{golden}", "--url", triton.url)
    assert done.returncode == 0, done.stderr


def test_a_wrong_answer_is_an_error_that_shows_both(
    api: RecordedApi, triton: FakeTriton, tmp_path: Path
) -> None:
    done = gate(api, tmp_path, "--expect-words", "snow", "--url", triton.url)
    assert (done.returncode, done.stdout) == (1, "")
    message = (tmp_path / "termination").read_text()
    assert "Expected: a text with 'snow'\nGot:      ' Its fleece is'" in message
    assert f"Error: {message}" in done.stderr


@pytest.mark.slow
def test_a_broken_deployment_ends_with_its_cause_within_seconds(tmp_path: Path) -> None:
    with recorded_api(recorded("weights-altered")[0]) as api:
        done = gate(api, tmp_path, *GOLDEN, "--timeout", "50")
    assert (done.returncode, done.stdout) == (1, "")
    message = (tmp_path / "termination").read_text()
    assert message.startswith(
        "InferenceService weights-altered will not become ready.\nThe model cannot be loaded: /mnt"
    )
    assert f"Error: {message}" in done.stderr
    assert TOKEN not in done.stderr


def test_time_that_is_up_is_told_with_what_was_waited_for(tmp_path: Path) -> None:
    with recorded_api(recorded("probe")[0]) as api:
        done = gate(api, tmp_path, *GOLDEN, "--timeout", "3")
    assert done.returncode == 1
    message = (tmp_path / "termination").read_text()
    assert message.startswith("InferenceService probe is not ready after 3 s")
    assert "HTTP probe did not respond Ready, got status code: 404" in message
    assert re.match(r"Waiting for probe \(\d of at most 3 s\): Pod probe-predictor-", done.stderr)


def test_a_wrong_tokenizer_is_told_before_the_wait(api: RecordedApi, tmp_path: Path) -> None:
    done = gate(api, tmp_path, *GOLDEN, "--tokenizer", "no/such/file")
    assert done.returncode == 1
    assert "no/such/file: no such file" in (tmp_path / "termination").read_text()
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
def test_wrong_usage_ends_with_2(
    api: RecordedApi, tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    done = gate(api, tmp_path, *options)
    assert done.returncode == 2
    assert words in done.stderr
    assert api.asked == []
