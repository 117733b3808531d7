"""An end at any moment costs little."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.core.hub.download.case import CHILD, LARGE, PART, Case, tree
from tests.core.hub.faulty_hub import Fault, FaultyHub


def test_an_interrupt_ends_at_once_and_keeps_the_parts(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend([Fault()] * 8 + [Fault(stall_after=300)] * 4)
    main = threading.main_thread().ident
    assert main

    def interrupt(count: int) -> None:
        if count == 12:
            threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()

    faulty.on_content = interrupt
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert time.monotonic() - began < 8
    assert case.missing() == 32 * PART + 7 - 8 * PART
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}


def _interrupt_at_first(count: int) -> None:
    """Interrupt the main thread a moment after the first request for content."""
    main = threading.main_thread().ident
    assert main
    if count == 1:
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()


def test_an_interrupt_during_a_long_wait_ends_at_once(case: Case, faulty: FaultyHub) -> None:
    faulty.always = Fault(status=429, headers={"Retry-After": "60"})
    faulty.on_content = _interrupt_at_first
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert time.monotonic() - began < 8


def test_an_interrupt_does_not_wait_for_a_server_that_says_nothing(
    case: Case, faulty: FaultyHub
) -> None:
    def say_nothing(count: int) -> None:
        _interrupt_at_first(count)
        faulty.ended.wait()

    faulty.on_content = say_nothing
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        case.run()
    assert time.monotonic() - began < 8, "the read time-out is 30 s"


@pytest.mark.parametrize("moment", [5, 33, 36])
def test_a_kill_at_any_moment_costs_at_most_a_part_a_connection(
    case: Case, faulty: FaultyHub, moment: int
) -> None:
    reached = threading.Event()

    def hold(count: int) -> None:
        if count == moment:
            reached.set()
        if count >= moment:
            faulty.ended.wait(0.5)

    faulty.on_content = hold
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, faulty.endpoint, str(case.folder), str(PART)]
    )
    assert reached.wait(30)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    faulty.on_content = lambda _: None
    case.run("model.bin", "shards/two.bin")
    assert tree(case.folder) == {"model.bin": LARGE, "shards/two.bin": LARGE[: 3 * PART]}
    asked = sum(request.nbytes for request in faulty.content_requests)
    assert asked - (35 * PART + 7) <= 4 * PART
