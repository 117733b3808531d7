"""Requests to the application, without a server."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from local_platform.hub.app import create_app
from local_platform.hub.repository import Catalogue
from tests.local_platform.hub.conftest import FILES, HELLO_BLOB, HELLO_SHA256

TOKEN = "hf_correct"
WEIGHTS = "/tiny-gptj/resolve/main/model.safetensors"
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
        "Accept-Ranges": "bytes",
    }
    assert expected.items() <= {name: got.headers[name] for name in expected}.items()
    assert "X-Linked-ETag" not in got.headers


def test_a_file_in_git_lfs_comes_with_its_digest_and_size(client: TestClient) -> None:
    headers = client.get("/tiny-gptj/resolve/main/onnx/model.bin").headers
    assert headers["ETag"] == headers["X-Linked-ETag"] == f'"{HELLO_SHA256}"'
    assert headers["X-Linked-Size"] == "6"


def test_head_gives_the_headers_of_get_without_its_body(client: TestClient) -> None:
    head = client.head(WEIGHTS, headers={"Range": "bytes=0-1"})
    assert (head.status_code, head.content) == (200, b""), "a range has no meaning for HEAD"
    assert head.headers == client.get(WEIGHTS).headers
    assert head.headers["Content-Length"] == "1024"


@pytest.mark.parametrize(
    ("wanted", "content_range", "start", "stop"),
    [
        ("bytes=254-257", "bytes 254-257/1024", 254, 258),
        ("bytes=1022-", "bytes 1022-1023/1024", 1022, 1024),
        ("bytes=-3", "bytes 1021-1023/1024", 1021, 1024),
        ("bytes=1020-5000", "bytes 1020-1023/1024", 1020, 1024),
        ("bytes=-5000", "bytes 0-1023/1024", 0, 1024),
        ("Bytes= 0-0", "bytes 0-0/1024", 0, 1),
    ],
)
def test_a_range_gives_its_bytes(
    client: TestClient, wanted: str, content_range: str, start: int, stop: int
) -> None:
    got = client.get(WEIGHTS, headers={"Range": wanted})
    assert (got.status_code, got.headers["Content-Range"]) == (206, content_range)
    assert got.content == FILES["tiny-gptj/model.safetensors"][start:stop]


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=-0"])
def test_a_range_outside_the_file_is_refused_with_the_size(client: TestClient, wanted: str) -> None:
    got = client.get(WEIGHTS, headers={"Range": wanted})
    assert (got.status_code, got.headers["Content-Range"]) == (416, "bytes */1024")


@pytest.mark.parametrize(
    "wanted",
    ["bytes=0-1,4-5", "bytes=-", "bytes=5-2", "lines=0-1", "bytes=+1-2", "bytes=0-" + "9" * 5000],
)
def test_all_but_a_single_range_of_bytes_gives_the_whole_file(
    client: TestClient, wanted: str
) -> None:
    got = client.get(WEIGHTS, headers={"Range": wanted})
    assert (got.status_code, len(got.content)) == (200, 1024)


def test_a_range_of_another_version_gives_the_whole_file(client: TestClient) -> None:
    ranged = {"Range": "bytes=0-1"}
    etag = client.get(WEIGHTS).headers["ETag"]
    assert client.get(WEIGHTS, headers=ranged | {"If-Range": etag}).content == b"\x00\x01"
    assert client.get(WEIGHTS, headers=ranged | {"If-Range": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/api/models/nobody", "RepoNotFound", "nobody"),
        ("/api/models/a/b/c", "RepoNotFound", "a/b/c"),
        ("/api/datasets/tiny-gptj", "RepoNotFound", "api/datasets"),
        ("/nobody/resolve/main/config.json", "RepoNotFound", "nobody"),
        ("/tiny-gptj/raw/main/vocab.txt", "RepoNotFound", "this mirror serves models"),
        ("/api/models/tiny-gptj/revision/refs%2Fpr%2F1", "RevisionNotFound", "refs/pr/1"),
        ("/api/models/tiny-gptj/tree/v1", "RevisionNotFound", "v1"),
        ("/tiny-gptj/resolve/v1/config.json", "RevisionNotFound", "v1"),
        ("/tiny-gptj/resolve/main/nothing", "EntryNotFound", "nothing"),
        ("/tiny-gptj/resolve/main/onnx", "EntryNotFound", "onnx"),
        ("/api/models/tiny-gptj/tree/main/nothing", "EntryNotFound", "nothing"),
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


def test_a_tree_lists_one_folder_or_all_below_it(client: TestClient) -> None:
    def paths(target: str) -> list[str]:
        listed = client.get(f"/api/models/tiny-gptj/tree/main{target}").json()
        return [entry["path"] + "/" * (entry["type"] == "directory") for entry in listed]

    assert paths("") == ["config.json", "model.safetensors", "onnx/", "vocab.txt"]
    assert paths("/onnx?recursive=false") == ["onnx/model.bin", "onnx/notes/"]
    assert paths("/onnx%2Fnotes") == ["onnx/notes/empty.txt"]
    assert paths("/onnx?recursive=true") == [
        "onnx/model.bin",
        "onnx/notes/",
        "onnx/notes/empty.txt",
    ]


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
