"""`ft-serving generate` and `benchmark`, as people type them, against a server of our own."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.fake_triton import FakeTriton, Fault, answer, config
from tests.client.test_request_file import SAMPLE
from tests.serving import TINY_GPTJ, ft_serving

TOKENIZER = str(TINY_GPTJ / "tokenizer.json")


def generate(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return ft_serving("generate", "--url", url, "--tokenizer", TOKENIZER, *options)


def test_options_come_before_the_request_file(triton: FakeTriton, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"prompt": "Jack", "output_length": 4, "top_k": 5, "seed": 3}))
    done = generate(triton.url, "--request", str(file), "--top-k", "2", "--prompt", "Mary")
    assert (done.returncode, done.stdout) == (0, "Output: Mary Its fleece is\n"), done.stderr
    sent = {tensor["name"]: tensor["data"] for tensor in triton.requests[-1].body["inputs"]}
    assert sent["runtime_top_k"] == [2]
    assert sent["random_seed"] == [3]
    done = generate(triton.url, "--request", str(file))
    assert done.stdout == "Output: Jack Its fleece is\n"


def test_prompts_of_a_file_are_one_batch(triton: FakeTriton, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("Mary\n\nJack and Jill\r\n")
    done = generate(triton.url, "--prompt-file", str(file), "--output-length", "2")
    assert done.stdout == "Output: Mary Its\nOutput: Jack and Jill Its\n", done.stderr
    assert triton.paths == ["config", "infer"]


def plain(message: str) -> str:
    """Return a message of wrong usage without its frame."""
    return " ".join(message.replace("\u2502", " ").split())


def test_a_byte_order_mark_is_no_part_of_a_prompt(triton: FakeTriton, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"\xef\xbb\xbfMary\r\n")
    done = generate(triton.url, "--prompt-file", str(file), "--output-length", "2")
    assert done.stdout == "Output: Mary Its\n", done.stderr


def test_a_separator_parts_prompts_of_several_lines(triton: FakeTriton, tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text("---\nMary\n\n had\n---\n\n---\nJack\n")
    options = ("--prompt-file", str(file), "--output-length", "2", "--prompt-separator")
    done = generate(triton.url, *options, "---")
    assert done.stdout == "Output: Mary\n\n had Its\nOutput: Jack Its\n", done.stderr
    done = generate(triton.url, *options, "===")
    assert done.stdout == f"Output: {file.read_text()[:-1]} Its\n", done.stderr


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff"])
def test_a_file_without_a_prompt_is_named(triton: FakeTriton, tmp_path: Path, content: str) -> None:
    file = tmp_path / "prompts.txt"
    file.write_text(content, encoding="utf-8")
    done = generate(triton.url, "--prompt", "Mary", "--prompt-file", str(file))
    assert done.returncode == 2
    assert "has no prompt in it" in plain(done.stderr)


def test_the_original_examples_request_is_sent_with_the_types_that_the_server_has(
    triton: FakeTriton, tmp_path: Path
) -> None:
    file = tmp_path / "sample_request.json"
    file.write_text(json.dumps({"request": SAMPLE}))
    done = generate(triton.url, "--request", str(file))
    assert done.returncode == 2
    assert "has no prompt as text" in plain(done.stderr)
    done = generate(triton.url, "--request", str(file), "--prompt", "Mary", "--end-id", "7")
    assert done.stdout == "Output: Mary Its fleece is\n", done.stderr
    sent = {tensor["name"]: tensor for tensor in triton.requests[-1].body["inputs"]}
    assert (sent["random_seed"]["datatype"], sent["random_seed"]["data"]) == ("UINT64", [0])
    assert sent["runtime_top_k"]["data"] == [10]
    assert sent["end_id"]["data"] == [7]
    assert "stop_words_list" not in sent


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "say what to continue"),
        (["--prompt", "a", "--prompt", "b", "--stream"], "--stream takes one prompt"),
        (["--prompt", "a", "--protocol", "ftp"], "ftp"),
        (["--prompt", "a", "--wait", "-1"], "--wait"),
        (["--prompt", "a", "--prompt-separator", "---"], "--prompt-separator"),
    ],
)
def test_wrong_usage_ends_with_2(triton: FakeTriton, options: list[str], problem: str) -> None:
    done = generate(triton.url, *options)
    assert done.returncode == 2
    assert problem in done.stderr
    assert not triton.requests


def test_an_error_is_one_message_and_ends_with_1(triton: FakeTriton) -> None:
    done = generate(triton.url, "--prompt", "Mary", "--top-p", "2", "--temperature", "-1")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: The request cannot be sent:",
        "  top_p: must be a number from 0 to 1; got 2.0",
        "  temperature: must be a number of at least 0, at most 3.4e+38; got -1.0",
    ]


def test_a_wrong_tokenizer_is_told_before_the_model_is_waited_for() -> None:
    done = ft_serving(
        *("generate", "--url", "127.0.0.1:1", "--prompt", "Mary", "--tokenizer", "none.json")
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: none.json: no such file")


@pytest.mark.parametrize("option", ["--prompt", "--stop"])
def test_bytes_that_are_no_text_are_told_before_the_model_is_waited_for(option: str) -> None:
    no_text = b"lamb\xff".decode("utf-8", "surrogateescape")
    done = generate("127.0.0.1:1", "--prompt", "Mary", option, no_text)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "Error: The request cannot be sent:",
        f"  {option[2:]}: must be text that UTF-8 can hold; got 'lamb\\udcff' (character 5)",
    ]


def test_the_token_is_shown_to_the_server_and_to_nobody_else(
    triton: FakeTriton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FT_SERVING_TOKEN", "secret-token")
    triton.faults.append(Fault(status=401, body=b"Jwt is expired"))
    done = generate(triton.url, "--prompt", "Mary", "--json", "--host-header", "ft.example.com")
    assert done.returncode == 1
    assert "secret-token" not in done.stdout + done.stderr
    assert triton.requests[0].headers["authorization"] == "Bearer secret-token"
    assert triton.requests[0].headers["host"] == "ft.example.com"


def test_waiting_is_told_on_stderr_alone(triton: FakeTriton) -> None:
    triton.faults.append(Fault(status=503))
    done = generate(triton.url, "--prompt", "Mary", "--output-length", "1")
    assert done.stdout == "Output: Mary I\n"
    waiting = r"Waiting for the model \(\d of at most 600 s\): 'fastertransformer'"
    assert re.match(waiting, done.stderr)


def test_ctrl_c_ends_a_wait_with_130() -> None:
    program = str(Path(sys.executable).with_name("ft-serving"))
    arguments = ["generate", "--url", "127.0.0.1:1", "--tokenizer", TOKENIZER, "--prompt", "Mary"]
    with subprocess.Popen([program, *arguments], stderr=subprocess.PIPE, text=True) as waiting:
        assert waiting.stderr
        assert waiting.stderr.readline().startswith("Waiting for the model")
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == 130
        assert "Traceback" not in waiting.stderr.read()


def benchmark(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return ft_serving("benchmark", "--url", url, "--tokenizer", TOKENIZER, *options)


@pytest.mark.slow
def test_a_benchmark_sends_so_many_requests_at_each_level(
    triton: FakeTriton, tmp_path: Path
) -> None:
    figures, plot = tmp_path / "figures.json", tmp_path / "plot.png"
    done = benchmark(
        *(triton.url, "--concurrency", "1,3", "--requests", "5", "--output-length", "4"),
        *("--prompt", "Mary", "--prompt", "Jack", "--json", str(figures), "--plot", str(plot)),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(figures.read_text())
    assert document["parameters"] == {"output_length": 4}
    assert not document["streaming"]
    for level, concurrency in zip(document["levels"], (1, 3), strict=True):
        assert (level["concurrency"], level["requests"]) == (concurrency, 5)
        assert (level["tokens"], level["errors"]) == (20, {})
        assert level["first_token_s"] is None, "nothing streams here"
        assert 0 < level["latency_s"]["p50"] <= level["latency_s"]["p99"]
    assert triton.paths.count("infer") == 1 + 5 + 5, "one to warm up"
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert [line.split()[:3] for line in done.stdout.splitlines()[2:]] == [
        ["1", "5", "0"],
        ["3", "5", "0"],
    ]


def test_a_benchmark_of_a_stream_has_the_time_to_the_first_token(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    with FakeTriton(config(decoupled=True)) as triton:
        done = benchmark(
            *(triton.url, "--concurrency", "2", "--requests", "4", "--output-length", "4"),
            *("--json", str(figures)),
        )
    assert done.returncode == 0, done.stderr
    [level] = json.loads(figures.read_text())["levels"]
    assert level["tokens"] == 16
    assert level["first_token_s"]["p50"] <= level["latency_s"]["p50"]


def test_a_server_that_refuses_the_first_request_is_not_measured(triton: FakeTriton) -> None:
    model = Fault(body=json.dumps(config()).encode())
    triton.faults.extend([model, Fault(status=503, body=b"pending request queue full")])
    done = benchmark(triton.url)
    assert done.returncode == 1
    assert "queue is full" in done.stderr
    assert triton.paths == ["config", "infer"]


def test_a_benchmark_counts_what_failed_and_goes_on(triton: FakeTriton) -> None:
    model = Fault(body=json.dumps(config()).encode())
    first = Fault(body=json.dumps(answer([690], 1)).encode())
    full = Fault(status=503, body=b"pending request queue full")
    triton.faults.extend([model, first, model, full])
    options = ("--concurrency", "1", "--requests", "3", "--output-length", "1", "--prompt", "Mary")
    done = benchmark(triton.url, *options)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[2].split()[:3] == ["1", "2", "1"]
    assert "1 failed: " in done.stderr


def test_a_benchmark_without_any_answer_ends_with_1(triton: FakeTriton) -> None:
    model = Fault(body=json.dumps(config()).encode())
    first = Fault(body=json.dumps(answer([690], 1)).encode())
    full = Fault(status=503, body=b"pending request queue full")
    triton.faults.extend([model, first, model, full, full])
    options = ("--concurrency", "1", "--requests", "2", "--output-length", "1", "--prompt", "Mary")
    done = benchmark(triton.url, *options)
    assert done.returncode == 1
    assert "No request was answered: " in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--concurrency", "0"],
        ["--concurrency", "1,x"],
        ["--concurrency", "2,9", "--requests", "8"],
        ["--json", "/nowhere/figures.json"],
    ],
)
def test_wrong_usage_of_the_benchmark_ends_with_2(triton: FakeTriton, options: list[str]) -> None:
    done = benchmark(triton.url, *options)
    assert done.returncode == 2
    assert not triton.requests


def test_the_programs_help_does_not_need_what_the_client_needs() -> None:
    code = (
        "import sys; from ft_serving import cli;"
        "heavy = {'numpy', 'tokenizers', 'grpc', 'urllib3', 'matplotlib'} & set(sys.modules);"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
