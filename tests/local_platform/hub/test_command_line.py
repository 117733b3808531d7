import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.local_platform.hub.wire import open_socket, read_to_end, request

REPOSITORY = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "local_platform.hub"]
START = re.compile(
    r"Serving at (?P<url>http://127\.0\.0\.1:\d+): EleutherAI/gpt-j-6b at [0-9a-f]{40},"
    r" tiny-gptj at [0-9a-f]{40}\. Clients use it with HF_ENDPOINT=(?P=url)\n"
)


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = START.fullmatch(line)
            assert match is not None, line
            yield process, match["url"]
        finally:
            process.kill()


def fails(*arguments: str) -> tuple[int, str]:
    process = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    assert process.stdout == ""
    return process.returncode, process.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_end(root: Path, number: signal.Signals) -> None:
    with running("--root", str(root), "--port", "0") as (process, url):
        assert request(url, "/tiny-gptj/resolve/main/vocab.txt").body == b"hello\n"
        with open_socket(url) as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert idle.recv(1) == b"H"
            process.send_signal(number)
            assert read_to_end(idle).endswith(b"ok\n")
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 0
    health, vocab = sorted(errors.splitlines(), key=lambda line: "/healthz" not in line)
    assert "GET /healthz 200 3 bytes" in health
    assert re.fullmatch(
        r"[-\d]+ [:,\d]+ GET /tiny-gptj/resolve/main/vocab\.txt 200 6 bytes [\d.]+ ms", vocab
    )


def test_the_token_comes_from_a_file(root: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("hf_secret\n")
    with running("--root", str(root), "--port", "0", "--token-file", str(token)) as (process, url):
        headers = {"Authorization": "Bearer hf_secret"}
        assert request(url, "/api/models/tiny-gptj", headers=headers).status == 200
        assert request(url, "/api/models/tiny-gptj").status == 401
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert "hf_secret" not in errors


@pytest.mark.parametrize("content", [b"", b"\n", b"two tokens\n", b"two\ntokens\n", b"\xff\n"])
def test_a_file_without_a_token_is_refused(root: Path, tmp_path: Path, content: bytes) -> None:
    token = tmp_path / "token"
    token.write_bytes(content)
    status, errors = fails("--root", str(root), "--token-file", str(token))
    assert status == 1
    assert errors.startswith(f"Error: --token-file {token}: ")
    assert errors.count("\n") == 1


def test_a_missing_token_file_is_refused(root: Path, tmp_path: Path) -> None:
    status, errors = fails("--root", str(root), "--token-file", str(tmp_path / "nowhere"))
    assert (status, errors) == (
        1,
        f"Error: --token-file {tmp_path}/nowhere: No such file or directory\n",
    )


def test_a_port_in_use_ends_it_with_one_error(root: Path) -> None:
    with running("--root", str(root), "--port", "0") as (_, url):
        port = url.rpartition(":")[2]
        status, errors = fails("--root", str(root), "--port", port)
    assert status == 1
    assert errors.startswith("Error: cannot listen: Address already in use ")
    assert f"('127.0.0.1', {port})" in errors
    assert errors.count("\n") == 1


def test_a_missing_root_ends_it_with_one_error(tmp_path: Path) -> None:
    status, errors = fails("--root", str(tmp_path / "nowhere"), "--port", "0")
    assert status == 1
    assert errors == (
        f"Error: --root {tmp_path}/nowhere: No such file or directory;"
        " give a folder that holds models\n"
    )


def test_a_root_without_a_model_ends_it_with_one_error(tmp_path: Path) -> None:
    status, errors = fails("--root", str(tmp_path), "--port", "0")
    assert status == 1
    assert errors.startswith(f"Error: --root {tmp_path}: holds no model;")
    assert errors.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [[], ["--root"], ["--root", ".", "--port", "x"], ["--port", "70000"], ["--what"]]
)
def test_wrong_usage_ends_with_status_two(arguments: list[str]) -> None:
    status, errors = fails(*arguments)
    assert status == 2
    assert "Error" in errors
