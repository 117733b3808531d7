"""The first process of containers."""

import re
import signal
import subprocess

from tests.images.dockerfile import IMAGES

AS_CHILD = IMAGES / "as-child.sh"


def _start(code: str) -> "subprocess.Popen[str]":
    command = ["/bin/sh", str(AS_CHILD), "/bin/sh", "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_programs_exit_code_is_passed_on() -> None:
    with _start("exit 7") as process:
        assert process.wait(10) == 7


def test_the_program_is_told_to_end_and_may_take_its_time() -> None:
    code = "trap 'sleep 0.3; echo answered; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    with _start(code) as process:
        assert _first_line(process) == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0, "what the program had under way was cut off"
        assert _first_line(process) == "answered\n"


def test_a_program_that_does_not_handle_the_signal_yet_ends_at_once() -> None:
    with _start("echo up; exec sleep 60") as process:
        assert _first_line(process) == "up\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 128 + signal.SIGTERM


def test_the_end_of_another_process_is_not_taken_for_the_programs() -> None:
    # As of Triton's stubs when Triton is gone: they become children of the first process.
    with _start("(sh -c 'sleep 0.1' &); sleep 0.4; exit 3") as process:
        assert process.wait(10) == 3


def test_what_nobody_is_to_know_is_another_each_time_and_fits_in_no_header() -> None:
    options = [f"--{api}=shared-memory:restricted={{unknown}}" for api in ("http", "grpc")]
    command = ["/bin/sh", str(AS_CHILD), "/usr/bin/printf", "%s|", *options, "What is {unknown}?"]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    name = "=shared-memory:restricted="
    assert re.fullmatch(rf"--http{name}([0-9a-f]{{32}}\n)\|--grpc{name}\1\|.*", first)
    assert first.endswith("|What is {unknown}?|"), "a prompt stays as it is"
    assert first != second


def test_the_program_reads_the_input() -> None:
    command = ["/bin/sh", str(AS_CHILD), "/bin/cat"]
    done = subprocess.run(command, input="asked", capture_output=True, text=True, check=True)
    assert done.stdout == "asked"
