"""What all tests of components share."""

import pytest


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider takes the shell's cluster where the program names none."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
