"""A stack for each test, on the running platform."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.cluster import Namespace
from tests.conformance.stack import Stack
from tests.pulumi_cli import platform_variables


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """An empty stack whose programs use the platform, and the plugins that it has."""
    return Stack(
        tmp_path / "stack",
        {
            # Newer releases of the real plugin take no object over unless they are told to.
            "PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true",
            **platform_variables(),
        },
    )


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace of the platform's cluster that nothing is in."""
    made = Namespace(f"conformance-{secrets.token_hex(4)}")
    made.kubectl("create", "namespace", made.name)
    yield made
    made.kubectl("delete", "namespace", made.name, "--wait=false")
