"""A stack for each test, on the running platform."""

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local_platform import environment
from tests.conformance.cluster import Namespace
from tests.conformance.stack import Stack


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """An empty stack whose programs use the platform, and the plugins that it has."""
    variables = environment.variables()
    # The language host runs programs with the first Python on PATH.
    path = (str(environment.BIN), str(Path(sys.executable).parent), os.environ["PATH"])
    return Stack(
        tmp_path / "stack",
        {
            "PATH": os.pathsep.join(path),
            # Newer releases of the real plugin take no object over unless they are told to.
            "PULUMI_K8S_UPSERT_EXISTING_OBJECTS": "true",
            **{name: variables[name] for name in ("DOCKER_HOST", "KUBECONFIG")},
        },
    )


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """A namespace of the platform's cluster that nothing is in."""
    made = Namespace(f"conformance-{secrets.token_hex(4)}")
    made.kubectl("create", "namespace", made.name)
    yield made
    made.kubectl("delete", "namespace", made.name, "--wait=false")
