"""A report fits one screen, and a log."""

import dataclasses
import io

import pytest
from rich.console import Console

from ft_serving.cluster.diagnosis.report import report
from ft_serving.cluster.diagnosis.report.screen import WIDTH, show
from tests.cluster.diagnosis.recorded_snapshots import names, recorded
from tests.cluster.diagnosis.test_report import (
    COMPLETE,
    DOWNLOAD,
    job,
    smoke_test,
    with_jobs,
)

LINES = 40


def screen(name: str) -> str:
    snapshot, now = recorded(name)
    out = io.StringIO()
    show(report(snapshot, now), Console(file=out))
    return out.getvalue()


@pytest.mark.parametrize("name", names())
def test_every_recorded_state_fits_one_screen(name: str) -> None:
    lines = screen(name).splitlines()
    assert len(lines) <= LINES
    steps = next(index for index, line in enumerate(lines) if line.startswith("next "))
    assert max(map(len, lines[:steps])) <= WIDTH
    assert not any(line != line.rstrip() for line in lines), "a log keeps what nobody sees"
    assert "\x1b" not in "".join(lines), "a log is no terminal"


def test_the_first_line_says_how_it_stands() -> None:
    assert screen("sound").splitlines()[0] == "gate-sound/sound  READY"
    assert screen("gpu").splitlines()[0] == "gate-bad/gpu  FAILED (unschedulable)"
    assert screen("starting-rollout").splitlines()[0] == (
        "gate-sound/starting  FAILED (unschedulable); requests are answered all the same"
    )


def test_a_command_is_not_broken_into_lines() -> None:
    lines = screen("weights-altered").splitlines()
    (command,) = [line for line in lines if "kubectl" in line]
    assert command.endswith("--container kserve-container --previous")


def test_a_terminal_gets_colours_and_no_more_columns_than_it_has() -> None:
    snapshot, now = recorded("gpu")
    out = io.StringIO()
    show(report(snapshot, now), Console(file=out, force_terminal=True, width=70))
    assert "\x1b[1;31mFAILED" in out.getvalue()


def test_jobs_are_told_in_the_order_in_which_they_run() -> None:
    snapshot, now = with_jobs(
        "sound",
        smoke_test(condition=COMPLETE),
        job(DOWNLOAD, condition=COMPLETE),
    )
    out = io.StringIO()
    show(report(snapshot, now), Console(file=out))
    shown = [line for line in out.getvalue().splitlines() if " old: succeeded" in line]
    assert f"model download {DOWNLOAD}, " in shown[0]
    assert "smoke test smoke-test-0, " in shown[1]


def test_digests_are_shortened_but_for_programs() -> None:
    snapshot, now = recorded("image-digest-host")
    digest = "0123456789ab" + "c" * 52
    told = dataclasses.replace(
        report(snapshot, now), reason=f"Image host/it@sha256:{digest} cannot be pulled"
    )
    out = io.StringIO()
    show(told, Console(file=out))
    assert "  Image host/it@sha256:0123456789ab… cannot be pulled\n" in out.getvalue()
