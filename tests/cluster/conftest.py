"""An API server that answers from a recording."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ft_serving.cluster.diagnosis import NamespaceSnapshot
from tests.fake_api import FakeApi, fake_api

Serve = Callable[[NamespaceSnapshot], FakeApi]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve a snapshot to whoever reads the default kubeconfig."""
    with ExitStack() as stack:

        def serve(snapshot: NamespaceSnapshot) -> FakeApi:
            api = stack.enter_context(fake_api(snapshot))
            default = "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION"
            monkeypatch.setattr(default, str(api.kubeconfig(tmp_path)))
            return api

        yield serve
