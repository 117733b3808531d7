"""Requests to the application, without a server."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from local_platform.hub.app import create_app
from local_platform.hub.repository import Catalogue
from tests.local_platform.hub.conftest import HELLO_BLOB, HELLO_SHA256

TOKEN = "hf_correct"
VOCAB = "/tiny-gptj/resolve/main/vocab.txt"


@pytest.fixture
def client(root: Path) -> TestClient:
    return TestClient(create_app(Catalogue(root), None))


@pytest.fixture
def private(root: Path) -> TestClient:
    return TestClient(create_app(Catalogue(root), TOKEN))


def commit_of(client: TestClient) -> str:
    return str(client.get("/api/models/tiny-gptj").json()["sha"])


def test_a_file_comes_with_the_hubs_headers(client: TestClient) -> None:
    got = client.get(f"{VOCAB}?download=true")
    assert (got.status_code, got.content) == (200, b"hello\n")
    expected = {
        "ETag": f'"{HELLO_BLOB}"',
        "X-Repo-Commit": commit_of(client),
        "Content-Length": "6",
    }
    assert {name: got.headers[name] for name in expected} == expected


def test_a_range_of_a_file_in_git_lfs_comes_with_the_files_digest(client: TestClient) -> None:
    got = client.get("/tiny-gptj/resolve/main/onnx/model.bin", headers={"Range": "bytes=1-2"})
    assert (got.status_code, got.content) == (206, b"el")
    assert got.headers["Content-Range"] == "bytes 1-2/6"
    assert got.headers["ETag"] == f'"{HELLO_SHA256}"'


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/api/models/nobody", "RepoNotFound", "nobody"),
        ("/api/datasets/tiny-gptj", "RepoNotFound", "api/datasets"),
        ("/tiny-gptj/raw/main/vocab.txt", "RepoNotFound", "this mirror serves models"),
        ("/api/models/tiny-gptj/revision/refs%2Fpr%2F1", "RevisionNotFound", "refs/pr/1"),
        ("/tiny-gptj/resolve/v1/config.json", "RevisionNotFound", "v1"),
        ("/tiny-gptj/resolve/main/nothing", "EntryNotFound", "nothing"),
    ],
)
def test_a_missing_thing_is_told_by_the_hubs_codes(
    client: TestClient, target: str, code: str, message: str
) -> None:
    got = client.get(target)
    assert (got.status_code, got.headers["X-Error-Code"]) == (404, code)
    assert message in got.headers["X-Error-Message"]
    assert message in got.json()["error"]
    if code == "EntryNotFound":
        assert got.headers["X-Repo-Commit"] == commit_of(client)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_the_mirror_is_read_only(client: TestClient, method: str) -> None:
    got = client.request(method, VOCAB)
    assert (got.status_code, set(got.headers["Allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert "read-only" in got.headers["X-Error-Message"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens_the_mirror(private: TestClient, scheme: str) -> None:
    got = private.get(VOCAB, headers={"Authorization": f"{scheme} {TOKEN}"})
    assert got.content == b"hello\n"


@pytest.mark.parametrize("target", [VOCAB, "/api/models/tiny-gptj", "/api/models/nobody"])
def test_without_a_token_no_one_learns_the_models(private: TestClient, target: str) -> None:
    got = private.get(target)
    assert (got.status_code, got.headers["X-Error-Code"]) == (401, "RepoNotFound")
    assert got.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", "Bearer \xe9"],
)
def test_a_wrong_token_is_refused(private: TestClient, header: str) -> None:
    got = private.get(VOCAB, headers=[(b"Authorization", header.encode("latin-1"))])
    assert (got.status_code, "X-Error-Code" in got.headers) == (401, False)
    assert got.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_health_needs_no_token(private: TestClient) -> None:
    assert private.get("/healthz").text == "ok\n", "a probe has no token"
