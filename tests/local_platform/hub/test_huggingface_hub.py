"""huggingface_hub, as users call it, against the mirror."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from local_platform.hub.server import HubServer
from tests.local_platform.hub.conftest import FILES, HELLO_BLOB, HELLO_SHA256

TINY = {
    path.removeprefix("tiny-gptj/"): content
    for path, content in FILES.items()
    if path.startswith("tiny-gptj/")
}


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token=False)


def commit_of(api: HfApi, repo_id: str) -> str:
    commit = api.model_info(repo_id).sha
    assert commit is not None
    return commit


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts
    }


def test_model_info_tells_only_names_or_also_digests(api: HfApi) -> None:
    plain = api.model_info("tiny-gptj")
    full = api.model_info("tiny-gptj", revision="main", files_metadata=True)
    assert plain.sha == full.sha
    assert plain.siblings is not None
    assert full.siblings is not None
    assert {file.rfilename for file in plain.siblings} == set(TINY)
    assert plain.siblings[0].size is None
    by_name = {file.rfilename: file for file in full.siblings}
    vocab, weights = by_name["vocab.txt"], by_name["onnx/model.bin"]
    assert (vocab.size, vocab.lfs) == (6, None)
    assert vocab.blob_id == HELLO_BLOB
    assert weights.lfs is not None
    assert (weights.size, weights.lfs.sha256) == (6, HELLO_SHA256)
    assert (weights.lfs.size, weights.lfs.pointer_size) == (6, 126)


@pytest.mark.parametrize("repo_id", ["tiny-gptj", "EleutherAI/gpt-j-6b"])
def test_a_snapshot_is_downloaded_into_the_cache(
    hub: HubServer, tmp_path: Path, api: HfApi, repo_id: str
) -> None:
    path = snapshot_download(repo_id, endpoint=hub.url, cache_dir=tmp_path / "cache", token=False)
    assert files_below(Path(path)) == {
        name.removeprefix(f"{repo_id}/"): content
        for name, content in FILES.items()
        if name.startswith(f"{repo_id}/")
    }
    assert Path(path).name == commit_of(api, repo_id)


def test_a_snapshot_at_a_commit_is_downloaded_into_a_folder(
    hub: HubServer, tmp_path: Path, api: HfApi
) -> None:
    local = tmp_path / "local"
    snapshot_download(
        "tiny-gptj",
        revision=commit_of(api, "tiny-gptj"),
        endpoint=hub.url,
        local_dir=local,
        token=False,
    )
    assert files_below(local) == TINY
    verified = api.verify_repo_checksums("tiny-gptj", local_dir=local)
    assert verified.checked_count == len(TINY)
    assert not verified.mismatches


def test_a_missing_thing_raises_the_exception_of_its_kind(
    hub: HubServer, tmp_path: Path, api: HfApi
) -> None:
    def download(repo_id: str, filename: str, revision: str) -> None:
        hf_hub_download(
            repo_id,
            filename,
            revision=revision,
            endpoint=hub.url,
            cache_dir=tmp_path,
            token=False,
        )

    with pytest.raises(RepositoryNotFoundError, match="no model 'nobody' here"):
        download("nobody", "config.json", "main")
    with pytest.raises(RevisionNotFoundError, match=commit_of(api, "tiny-gptj")):
        download("tiny-gptj", "config.json", "v1")
    with pytest.raises(RemoteEntryNotFoundError, match="has no file 'nothing'"):
        download("tiny-gptj", "nothing", "main")
    with pytest.raises(RevisionNotFoundError):
        snapshot_download(
            "tiny-gptj", revision="0" * 40, endpoint=hub.url, cache_dir=tmp_path, token=False
        )
