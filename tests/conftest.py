"""Fixtures and hooks of all tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kubernetes.dynamic import DynamicClient

# Many small matrix products on busy cores are several times as slow with more threads than one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tests.platform_guard import require_platform
from tests.serving import Served, prepare, served

_PLATFORM_FOLDERS = ("deployment", "platform")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the project's own options."""
    parser.addoption(
        "--rewrite-golden",
        action="store_true",
        help="write the golden resource lists in tests/golden anew; review their diff",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Refuse a test of the platform in a folder where `make test` does not look for it."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if item.get_closest_marker("platform") and folder not in _PLATFORM_FOLDERS:
        raise pytest.UsageError(
            f"{item.nodeid} needs the platform: move it to {' or '.join(_PLATFORM_FOLDERS)}"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test of the platform where it is not up."""
    if item.get_closest_marker("platform"):
        require_platform()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests measured as `figures`, which docs/reliability.md quotes."""
    measured = [
        (report.nodeid.rpartition("::")[2], value)
        for report in terminalreporter.getreports("passed")
        if report.when == "call"
        for name, value in report.user_properties
        if name == "figures"
    ]
    if measured:
        terminalreporter.section("figures")
        for test, value in measured:
            terminalreporter.line(f"{test}: {value}")


@pytest.fixture(scope="session")
def api() -> "DynamicClient":
    """An administrator's client of the platform's API server."""
    # Not above: most runs need no cluster, and loading the library takes a second.
    from kubernetes.dynamic import DynamicClient

    from local_platform.node.volumes import local_client
    from local_platform.settings import KUBECONFIG

    return DynamicClient(local_client(KUBECONFIG))


@pytest.fixture(scope="session")
def served_storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage for the releases that servers serve."""
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="session")
def plain_server(served_storage: Path) -> Iterator[Served]:
    """A tritonserver with tiny-gptj, one response a request."""
    with served(served_storage, prepare(served_storage)) as server:
        yield server


@pytest.fixture(scope="session")
def streaming_server(served_storage: Path) -> Iterator[Served]:
    """A tritonserver with tiny-gptj, decoupled: a response a token."""
    with served(served_storage, prepare(served_storage, "--streaming")) as server:
        yield server
