"""Stacks of the program on the platform."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.program import Deployment, platform_settings
from tests.platform.cluster import Namespace

Deploy = Callable[..., Deployment]


@contextmanager
def _stacks(folders: pytest.TempPathFactory, api: DynamicClient) -> Iterator[Deploy]:
    made: list[Deployment] = []

    def make(changes: Mapping[str, Any] | None = None) -> Deployment:
        name = f"test-{secrets.token_hex(4)}"
        made.append(Deployment(folders.mktemp(name), name, platform_settings(name, changes)))
        return made[-1]

    yield make
    # Whatever state a test has left: with its namespace all of it goes.
    for each in made:
        if each.namespace_exists(api):
            api.resources.get(api_version="v1", kind="Namespace").delete(name=each.namespace)


@pytest.fixture(scope="module")
def new_stack(tmp_path_factory: pytest.TempPathFactory, api: DynamicClient) -> Iterator[Deploy]:
    """Makes stacks, each in a namespace of its own that goes with the module."""
    with _stacks(tmp_path_factory, api) as make:
        yield make


@pytest.fixture(scope="session")
def deployment(
    tmp_path_factory: pytest.TempPathFactory, api: DynamicClient
) -> Iterator[Deployment]:
    """A stack that is up, for tests that read, ask or preview it and change nothing."""
    with _stacks(tmp_path_factory, api) as make:
        made = make()
        made.deploy()
        yield made


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
