"""Whether parts do their work, and what is said of those that do not."""

from pathlib import Path

import pytest

from local_platform.errors import PlatformError
from local_platform.node import health, namespace
from local_platform.node.services import Service


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes run where the test does."""
    monkeypatch.setattr(namespace, "entering", list)


def service(name: str, *probe: str) -> Service:
    return Service(name=name, command=["true"], probe=probe)


def test_a_service_works_when_its_probe_succeeds() -> None:
    assert health.failing(service("one", "true")) is None


def test_what_a_failed_probe_says_is_the_reason() -> None:
    assert health.failing(service("one", "sh", "-c", "echo refused >&2; false")) == "refused"
    assert health.failing(service("one", "false")) == "its probe exited with status 1"


def test_a_probe_that_hangs_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PROBE_SECONDS", 0.05)
    assert health.failing(service("one", "sleep", "20")) == "no answer within 0.05 s"


def test_failures_are_named_and_the_others_left_out() -> None:
    asked = [service("one", "true"), service("two", "false"), service("three", "true")]
    assert health.failures(asked) == {"two": "its probe exited with status 1"}


def test_waiting_ends_when_all_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_PAUSE_SECONDS", 0)
    # Each fails at first, and works the next time.
    probes = [
        ("sh", "-c", f"test -e {tmp_path}/{name} || {{ touch {tmp_path}/{name}; false; }}")
        for name in ("one", "two")
    ]
    services = [service(f"service {number}", *probe) for number, probe in enumerate(probes)]

    health.wait(services, 20, lambda _: None)

    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


def test_patience_ends_with_each_reason_and_the_end_of_each_log(
    service_folder: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log" / "etcd" / "current"
    log.parent.mkdir(parents=True)
    log.write_text("first\n" + "noise\n" * 20 + "2026-11-23 disk full\n")
    asked = [
        service("etcd", "sh", "-c", "echo connection refused >&2; false"),
        service("registry", "true"),
        service("hub", "false"),
    ]

    with pytest.raises(PlatformError) as caught:
        health.wait(asked, 0, lambda _: None)

    message = str(caught.value)
    assert message.startswith("etcd does not work: connection refused (")
    assert "    2026-11-23 disk full\n" in message
    assert "first" not in message
    assert "\nhub does not work: its probe exited with status 1 (" in message
    assert "registry" not in message
