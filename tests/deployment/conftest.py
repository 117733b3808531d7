"""Stacks of the program on the platform, and what they left in the cluster."""

import secrets
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.program import Deployment, platform_settings
from tests.platform.cluster import Namespace

Deploy = Callable[..., Deployment]


@pytest.fixture(scope="module")
def new_stack(tmp_path_factory: pytest.TempPathFactory, api: DynamicClient) -> Iterator[Deploy]:
    """Makes stacks in namespaces of their own; after the module they and their weights are gone."""
    made: list[Deployment] = []

    def make(changes: Mapping[str, Any] | None = None) -> Deployment:
        name = f"test-{secrets.token_hex(4)}"
        settings = platform_settings(name, changes)
        made.append(Deployment(tmp_path_factory.mktemp(name), name, settings))
        return made[-1]

    yield make
    namespaces = api.resources.get(api_version="v1", kind="Namespace")
    for each in made:
        # Whatever state a test has left: with its namespace all of it goes.
        if namespaces.get(label_selector=f"kubernetes.io/metadata.name={each.namespace}").items:
            namespaces.delete(name=each.namespace)


@pytest.fixture(scope="module")
def deployment(new_stack: Deploy) -> Deployment:
    """A stack that is up; what a test changes of it, it changes back."""
    made = new_stack()
    report = made.up()
    assert report.succeeded, report.messages
    return made


@pytest.fixture(scope="module")
def cluster(api: DynamicClient, deployment: Deployment) -> Namespace:
    """The namespace of the stack that is up."""
    return Namespace(api, deployment.namespace)
