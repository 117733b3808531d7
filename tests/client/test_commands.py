"""`ft-serving generate` and `benchmark`, as people type them, against a server of our own."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_triton import FakeTriton, config, error, gateway
from tests.client.test_request_file import SAMPLE
from tests.command_line import Done, run_here
from tests.serving import TINY_GPTJ

TOKENIZER = str(TINY_GPTJ / "tokenizer.json")


def generate(url: str, *options: str) -> Done:
    return run_here("generate", "--url", url, "--tokenizer", TOKENIZER, *options)


def benchmark(url: str, *options: str) -> Done:
    return run_here("benchmark", "--url", url, "--tokenizer", TOKENIZER, *options)


def plain(message: str) -> str:
    """Return a message of wrong usage without its frame."""
    return " ".join(message.replace("\u2502", " ").split())


def test_options_come_before_the_request_file(over_http: FakeTriton, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"prompt": "Jack", "output_length": 4, "top_k": 5, "seed": 3}))
    done = generate(over_http.url, "--request", str(file), "--top-k", "2", "--prompt", "Mary")
    assert done.stdout == "Output: Mary Its fleece is\n", done.stderr
    sent = over_http.requests[-1].inputs
    assert (sent["runtime_top_k"].data, sent["random_seed"].data) == ([2], [3])
    assert generate(over_http.url, "--request", str(file)).stdout == "Output: Jack Its fleece is\n"


@pytest.mark.parametrize(
    ("content", "separator", "prompts"),
    [
        ("Mary\n\nJack and Jill\r\n", None, ["Mary", "Jack and Jill"]),
        ("\ufeffMary\r\n", None, ["Mary"]),
        ("---\nMary\n\n had\n---\n\n---\nJack\n", "---", ["Mary\n\n had", "Jack"]),
        ("---\nMary\n had\n", "===", ["---\nMary\n had"]),
    ],
)
def test_prompts_of_a_file_are_one_batch(
    over_http: FakeTriton, tmp_path: Path, content: str, separator: str | None, prompts: list[str]
) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(content.encode())
    options = ["--prompt-separator", separator] if separator else []
    done = generate(over_http.url, "--prompt-file", str(file), "--output-length", "2", *options)
    assert done.stdout == "".join(f"Output: {prompt} Its\n" for prompt in prompts), done.stderr
    assert over_http.asked == ["config", "infer"]


def test_the_original_examples_request_is_sent_with_the_types_that_the_server_has(
    over_http: FakeTriton, tmp_path: Path
) -> None:
    file = tmp_path / "sample_request.json"
    file.write_text(json.dumps({"request": SAMPLE}))
    done = generate(over_http.url, "--request", str(file))
    assert done.returncode == 2
    assert "has no prompt as text" in plain(done.stderr)
    done = generate(over_http.url, "--request", str(file), "--prompt", "Mary", "--end-id", "7")
    assert done.stdout == "Output: Mary Its fleece is\n", done.stderr
    sent = over_http.requests[-1].inputs
    assert (sent["random_seed"].datatype, sent["random_seed"].data) == ("UINT64", [0])
    assert (sent["runtime_top_k"].data, sent["end_id"].data) == ([10], [7])
    assert "stop_words_list" not in sent


@pytest.mark.parametrize(
    ("command", "options", "problem"),
    [
        ("generate", [], "say what to continue"),
        ("generate", ["--prompt", "a", "--prompt", "b", "--stream"], "--stream takes one prompt"),
        ("generate", ["--prompt", "a", "--protocol", "ftp"], "ftp"),
        ("generate", ["--prompt", "a", "--wait", "-1"], "--wait"),
        ("generate", ["--prompt", "a", "--prompt-separator", "---"], "--prompt-separator"),
        ("generate", ["--prompt-file", "/dev/null"], "has no prompt in it"),
        ("benchmark", ["--concurrency", "0"], "numbers from 1 to 1024"),
        ("benchmark", ["--concurrency", "1,x"], "numbers from 1 to 1024"),
        ("benchmark", ["--concurrency", "2,9", "--requests", "8"], "as many --requests"),
        ("benchmark", ["--json", "/nowhere/figures.json"], "there is no folder /nowhere"),
    ],
)
def test_wrong_usage_ends_with_2(
    over_http: FakeTriton, command: str, options: list[str], problem: str
) -> None:
    done = run_here(command, "--url", over_http.url, *options)
    assert done.returncode == 2
    assert problem in plain(done.stderr)
    assert not over_http.requests


def test_an_error_is_one_message_and_ends_with_1() -> None:
    done = generate("127.0.0.1:1", "--prompt", "Mary", "--top-p", "2", "--temperature", "-1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: The request cannot be sent:",
        "  top_p: must be a number from 0 to 1; got 2.0",
        "  temperature: must be a number of at least 0, at most 3.4e+38; got -1.0",
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--tokenizer", "none.json"], "Error: none.json: no such file"),
        (["--prompt", "lamb\udcff"], "Error: The request cannot be sent:\n  prompt: must be text"),
        (["--stop", "lamb\udcff"], "Error: The request cannot be sent:\n  stop: must be text"),
    ],
)
def test_what_is_wrong_here_is_told_before_the_model_is_waited_for(
    options: list[str], problem: str
) -> None:
    done = generate("127.0.0.1:1", "--prompt", "Mary", *options)
    assert done.returncode == 1
    assert done.stderr.startswith(problem)


def test_waiting_is_told_on_stderr(over_http: FakeTriton, no_pauses: None) -> None:
    over_http.faults.append(gateway(503))
    done = generate(over_http.url, "--prompt", "Mary", "--output-length", "1")
    assert done.stdout == "Output: Mary I\n"
    waiting = r"Waiting for the model \(\d of at most 600 s\): 'fastertransformer'"
    assert re.match(waiting, done.stderr)


def test_wait_and_timeout_are_the_clients(over_http: FakeTriton) -> None:
    over_http.faults.append(gateway(503))
    done = generate(over_http.url, "--prompt", "Mary", "--wait", "0")
    assert done.returncode == 1
    assert over_http.asked == ["config"]
    over_http.delay_s = 0.3
    done = generate(over_http.url, "--prompt", "Mary", "--timeout", "0.1", "--wait", "0")
    assert "did not answer within 0.1 s" in done.stderr


def test_ctrl_c_ends_a_wait_with_130() -> None:
    program = str(Path(sys.executable).with_name("ft-serving"))
    arguments = ["generate", "--url", "127.0.0.1:1", "--tokenizer", TOKENIZER, "--prompt", "Mary"]
    with subprocess.Popen([program, *arguments], stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr
        assert waiting.stderr.readline().startswith("Waiting for the model")
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == 130
        assert "Traceback" not in waiting.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("decoupled", [False, True])
def test_a_benchmark_sends_so_many_requests_at_each_level(
    over_http: FakeTriton, tmp_path: Path, decoupled: bool
) -> None:
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.png"
    over_http.model = config(decoupled=decoupled)
    done = benchmark(
        *(over_http.url, "--concurrency", "1,3", "--requests", "5", "--output-length", "4"),
        *("--prompt", "Mary", "--prompt", "Jack", "--json", str(figures), "--plot", str(plot)),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text())
    assert (document["parameters"], document["streaming"]) == ({"output_length": 4}, decoupled)
    for level, concurrency in zip(document["levels"], (1, 3), strict=True):
        assert (level["concurrency"], level["requests"]) == (concurrency, 5)
        assert (level["tokens"], level["errors"]) == (20, {})
        assert (level["first_token_s"] is not None) is decoupled
        assert 0 < level["latency_s"]["p50"] <= level["latency_s"]["p99"]
    assert len(over_http.requests) == 2 + 1 + 5 + 5, "two clients, one request to warm up"
    assert plot.read_bytes().startswith(b"\x89PNG")
    rows = [line.split()[:3] for line in done.stdout.splitlines()[2:]]
    assert rows == [["1", "5", "0"], ["3", "5", "0"]]


@pytest.mark.parametrize(
    ("warms_up", "failing", "code", "said"),
    [
        (False, 1, 1, "queue is full"),
        (True, 1, 0, "1 failed: "),
        (True, 3, 1, "No request was answered: "),
    ],
)
def test_a_benchmark_counts_what_failed_and_ends_with_1_where_nothing_is_answered(
    over_http: FakeTriton, warms_up: bool, failing: int, code: int, said: str
) -> None:
    answered = [None, None, None] if warms_up else [None]
    # The first request waits for a server that is gone; measured ones do not.
    fault = gateway(503) if warms_up else error(503, "Exceeds maximum queue size")
    over_http.faults.extend([*answered, *[fault] * failing])
    options = ("--concurrency", "1", "--requests", "3", "--output-length", "1", "--prompt", "Mary")
    done = benchmark(over_http.url, *options)
    assert done.returncode == code
    assert said in done.stderr
    if warms_up:
        assert done.stdout.splitlines()[2].split()[:3] == ["1", str(3 - failing), str(failing)]


def test_the_programs_help_does_not_need_what_the_client_needs() -> None:
    code = (
        "import sys; from ft_serving import cli;"
        "heavy = {'numpy', 'tokenizers', 'grpc', 'urllib3', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
