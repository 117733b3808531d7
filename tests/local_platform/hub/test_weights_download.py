"""The weights pipeline's own client and downloader against the mirror."""

import io
import random
from pathlib import Path

import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.client import Hub
from ft_serving.core.hub.download import download, missing_bytes
from ft_serving.core.progress import Progress
from local_platform.hub.server import HubServer

TOKEN = "hf_mirror"
WEIGHTS = random.Random(3).randbytes(1 << 20) * 40 + b"a tail of its own"
FILES = {"config.json": b'{"model_type": "gptj"}\n', "model.safetensors": WEIGHTS, "a b/c": b""}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        path = tmp_path / "models" / "some" / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "models"


def test_a_model_comes_from_the_mirror_as_it_is_there(root: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    with HubServer(root, token=TOKEN) as mirror, Progress(io.StringIO()) as progress:
        hub = Hub.from_environment({"HF_ENDPOINT": mirror.url, "HF_TOKEN": TOKEN})
        snapshot = hub.snapshot("some/model", "main")
        assert hub.read(snapshot, "config.json") == FILES["config.json"]
        assert missing_bytes(snapshot, list(FILES), target) == sum(map(len, FILES.values()))
        download(hub, snapshot, list(FILES), target, progress)
        assert hub.snapshot("some/model", snapshot.revision) == snapshot
    found = {
        str(path.relative_to(target)): path.read_bytes()
        for path in target.rglob("*")
        if path.is_file()
    }
    assert found == FILES


@pytest.mark.parametrize(
    ("repository", "revision", "token", "expected"),
    [
        ("some/model", "main", "wrong", "rejected the token"),
        ("some/model", "main", None, r"no such model .* set HF_TOKEN \(none is set\)"),
        ("some/other", "main", TOKEN, "some/other: no such model at"),
        ("some/model", "v9", TOKEN, "no revision 'v9'"),
    ],
)
def test_what_the_mirror_refuses_is_understood(
    root: Path, repository: str, revision: str, token: str | None, expected: str
) -> None:
    with HubServer(root, token=TOKEN) as mirror, pytest.raises(FtServingError, match=expected):
        Hub(mirror.url, token).snapshot(repository, revision)
