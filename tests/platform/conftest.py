"""The running platform's API, and a namespace for each module of tests."""

import secrets
from collections.abc import Iterator

import pytest
from kubernetes.dynamic import DynamicClient

from local_platform import addons
from tests.platform.cluster import Namespace


@pytest.fixture(scope="module")
def namespace(api: DynamicClient) -> Iterator[Namespace]:
    """A namespace that nothing is in, deleted after the module."""
    name = f"test-{secrets.token_hex(4)}"
    namespaces = api.resources.get(api_version="v1", kind="Namespace")
    namespaces.create(body={"metadata": {"name": name}})
    yield Namespace(api, name)
    namespaces.delete(name=name)


@pytest.fixture(scope="session")
def base_image() -> str:
    """An image with Python."""
    return addons.base_image(lambda _: None)
