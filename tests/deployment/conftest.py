"""Stacks of the program on the platform."""

import os
import pickle
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
from filelock import FileLock
from kubernetes.dynamic import DynamicClient

from tests.deployment.program import Deployment, platform_settings
from tests.platform.cluster import Namespace

Deploy = Callable[..., Deployment]

LONGEST = 480
"""Tokens, about as many as the model has room for behind a short prompt."""

STREAMING = {
    "serving.streaming": True,
    "serving.inputLength": 512 - LONGEST,
    "serving.outputLength": LONGEST,
}
"""The settings of a stack whose answers come token by token and are long."""

_FIRST = (
    "deployment/test_lifecycle.py",
    # Until that has deployed the shared stack, those that can do without it for a while.
    "deployment/test_failures.py",
    "deployment/test_faults.py",
    "platform/test_docker_plugin.py",
    "platform/test_cluster.py",
    # Before its last two tests a process takes the next file, however long these are: short files
    # stand between long ones.
    "deployment/test_scaling.py",
    "deployment/test_lifecycle_releases.py",
    "deployment/test_standard_mode.py",
    "deployment/test_secrets.py",
    "deployment/test_download_faults.py",
    "deployment/test_answers.py",
    "deployment/test_security.py",
    "deployment/test_observed.py",
)
"""Files that take long: begun last, one of them would keep all processes but its own waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have long files of tests begin first."""
    place = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda it: place.get("/".join(it.path.parts[-2:]), len(place)))


def _stack(folders: pytest.TempPathFactory, changes: Mapping[str, Any] | None) -> Deployment:
    name = f"test-{secrets.token_hex(4)}"
    return Deployment(folders.mktemp(name), name, platform_settings(name, changes))


def _delete(made: Iterable[Deployment], api: DynamicClient) -> None:
    # Whatever state a test has left: with its namespace all of it goes.
    for each in made:
        if each.namespace_exists(api):
            api.resources.get(api_version="v1", kind="Namespace").delete(name=each.namespace)


@pytest.fixture(scope="module")
def new_stack(tmp_path_factory: pytest.TempPathFactory, api: DynamicClient) -> Iterator[Deploy]:
    """Makes stacks, each in a namespace of its own that goes with the module."""
    made: list[Deployment] = []

    def make(changes: Mapping[str, Any] | None = None) -> Deployment:
        made.append(_stack(tmp_path_factory, changes))
        return made[-1]

    yield make
    _delete(made, api)


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, api: DynamicClient
) -> Iterator[Deployment]:
    """A stack with the OpenAI API that streams, for tests that read, ask or preview it.

    It is up, and they change nothing.

    Processes that run tests side by side share it: the first deploys it, the last deletes it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    record, lock = folder / "deployment", FileLock(folder / "deployment.lock")
    with lock:
        if record.exists():
            made, users = pickle.loads(record.read_bytes())
        else:
            made, users = _stack(tmp_path_factory, {"serving.openai": True, **STREAMING}), 0
            made.deploy()
        record.write_bytes(pickle.dumps((made, users + 1)))
    # Previews of other settings are no business of the other processes.
    made.copy_settings(tmp_path_factory.mktemp(made.stack))
    yield made
    with lock:
        made, users = pickle.loads(record.read_bytes())
        if users > 1:
            record.write_bytes(pickle.dumps((made, users - 1)))
        else:
            record.unlink()
            _delete([made], api)


@pytest.fixture(scope="module")
def stack(deployment: Deployment, new_stack: Deploy) -> Deployment:
    """A stack of the module's own, up, which its tests may change."""
    made = new_stack(deployment.images())
    made.deploy()
    return made


@pytest.fixture(scope="module")
def cluster(api: DynamicClient, stack: Deployment) -> Namespace:
    """The namespace of the module's own stack."""
    return Namespace(api, stack.namespace)
