import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from local_platform.hub.server import HubServer
from tests.local_platform.hub.conftest import FILES
from tests.local_platform.hub.wire import (
    Answer,
    connect,
    exchange,
    request,
)

HELLO_SHA256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
HELLO_BLOB = "ce013625030ba8dba906f756967f9e9ca394464a"
WEIGHTS = "/tiny-gptj/resolve/main/model.safetensors"
VOCAB = "/tiny-gptj/resolve/main/vocab.txt"


def commit_of(hub: HubServer, repo_id: str = "tiny-gptj") -> str:
    commit = json.loads(request(hub.url, f"/api/models/{repo_id}").body)["sha"]
    assert isinstance(commit, str)
    return commit


def assert_error(answer: Answer, status: int, code: str | None, message: str) -> None:
    assert (answer.status, answer.headers["X-Error-Code"]) == (status, code)
    assert message in answer.headers["X-Error-Message"]
    assert message in json.loads(answer.body)["error"]


def test_a_file_comes_with_what_the_hub_says_of_it(hub: HubServer) -> None:
    answer = request(hub.url, VOCAB)
    assert (answer.status, answer.body) == (200, b"hello\n")
    assert answer.headers["ETag"] == f'"{HELLO_BLOB}"'
    assert answer.headers["X-Repo-Commit"] == commit_of(hub)
    assert answer.headers["Content-Length"] == "6"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["X-Linked-ETag"] is None


def test_a_file_in_git_lfs_comes_with_its_digest_and_size(hub: HubServer) -> None:
    answer = request(hub.url, "/tiny-gptj/resolve/main/onnx/model.bin")
    assert answer.headers["ETag"] == f'"{HELLO_SHA256}"'
    assert answer.headers["X-Linked-ETag"] == f'"{HELLO_SHA256}"'
    assert answer.headers["X-Linked-Size"] == "6"


def test_head_gives_the_headers_of_get_without_its_body(hub: HubServer) -> None:
    got = request(hub.url, WEIGHTS)
    head = request(hub.url, WEIGHTS, method="HEAD", headers={"Range": "bytes=0-1"})
    assert (head.status, head.body) == (200, b""), "a range has no meaning for HEAD"
    assert head.headers["Content-Length"] == "1024"
    unlike = {"date"}
    assert {k.lower(): v for k, v in head.headers.items() if k.lower() not in unlike} == {
        k.lower(): v for k, v in got.headers.items() if k.lower() not in unlike
    }


def test_an_empty_file_is_served(hub: HubServer) -> None:
    answer = request(hub.url, "/tiny-gptj/resolve/main/onnx/notes/empty.txt")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["ETag"] == '"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"'


@pytest.mark.parametrize(
    ("wanted", "content_range", "body"),
    [
        ("bytes=254-257", "bytes 254-257/1024", b"\xfe\xff\x00\x01"),
        ("bytes=1022-", "bytes 1022-1023/1024", b"\xfe\xff"),
        ("bytes=-3", "bytes 1021-1023/1024", b"\xfd\xfe\xff"),
        ("bytes=1020-5000", "bytes 1020-1023/1024", b"\xfc\xfd\xfe\xff"),
    ],
)
def test_a_range_gives_its_bytes(
    hub: HubServer, wanted: str, content_range: str, body: bytes
) -> None:
    answer = request(hub.url, WEIGHTS, headers={"Range": wanted})
    assert (answer.status, answer.body) == (206, body)
    assert answer.headers["Content-Range"] == content_range
    assert answer.headers["Content-Length"] == str(len(body))


def test_a_range_outside_the_file_is_refused(hub: HubServer) -> None:
    answer = request(hub.url, WEIGHTS, headers={"Range": "bytes=1024-"})
    assert_error(answer, 416, None, "1024 bytes")
    assert answer.headers["Content-Range"] == "bytes */1024"


def test_several_ranges_give_the_whole_file(hub: HubServer) -> None:
    answer = request(hub.url, WEIGHTS, headers={"Range": "bytes=0-1,4-5"})
    assert (answer.status, answer.body) == (200, FILES["tiny-gptj/model.safetensors"])


def test_a_range_of_another_version_gives_the_whole_file(hub: HubServer) -> None:
    etag = request(hub.url, WEIGHTS).headers["ETag"]
    same = request(hub.url, WEIGHTS, headers={"Range": "bytes=0-1", "If-Range": etag})
    other = request(hub.url, WEIGHTS, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (same.status, same.body) == (206, b"\x00\x01")
    assert (other.status, len(other.body)) == (200, 1024)


def test_parallel_ranges_of_one_file_make_up_the_file(root: Path) -> None:
    content = os.urandom(8 * 1024**2 + 7)
    (root / "tiny-gptj/big.bin").write_bytes(content)
    step = 300_001
    with HubServer(root) as hub, ThreadPoolExecutor(16) as pool:
        parts = pool.map(
            lambda first: (
                request(
                    hub.url,
                    "/tiny-gptj/resolve/main/big.bin",
                    headers={"Range": f"bytes={first}-{first + step - 1}"},
                ).body
            ),
            range(0, len(content), step),
        )
        assert b"".join(parts) == content


def test_many_small_requests_share_a_connection_without_stalls(hub: HubServer) -> None:
    connection = connect(hub.url)
    started = time.monotonic()
    for _ in range(200):
        connection.request("GET", VOCAB)
        response = connection.getresponse()
        assert response.read() == b"hello\n"
        assert not response.will_close
    taken = time.monotonic() - started
    connection.close()
    assert taken < 4, "a body that waits for the acknowledgement of its headers takes 40 ms"


def test_requests_that_arrive_together_are_answered_in_order(hub: HubServer) -> None:
    received = exchange(
        hub.url,
        b"GET /healthz HTTP/1.1\r\n\r\n"
        b"GET /tiny-gptj/resolve/main/vocab.txt HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    first, second = received.index(b"ok\n"), received.index(b"hello\n")
    assert first < second == len(received) - len(b"hello\n")


@pytest.mark.parametrize(
    ("target", "code", "message"),
    [
        ("/api/models/nobody", "RepoNotFound", "nobody"),
        ("/api/models", "RepoNotFound", "no model"),
        ("/api/models/a/b/c", "RepoNotFound", "a/b/c"),
        ("/api/datasets/tiny-gptj", "RepoNotFound", "this mirror serves models"),
        ("/nobody/resolve/main/config.json", "RepoNotFound", "nobody"),
        ("/api/models/tiny-gptj/revision/v1", "RevisionNotFound", "v1"),
        ("/api/models/tiny-gptj/tree/v1", "RevisionNotFound", "v1"),
        ("/tiny-gptj/resolve/v1/config.json", "RevisionNotFound", "v1"),
        ("/tiny-gptj/resolve/main/nothing", "EntryNotFound", "nothing"),
        ("/tiny-gptj/resolve/main/onnx", "EntryNotFound", "onnx"),
        ("/api/models/tiny-gptj/tree/main/nothing", "EntryNotFound", "nothing"),
        ("/api/models/tiny-gptj/tree/main/vocab.txt", "EntryNotFound", "vocab.txt"),
    ],
)
def test_what_is_missing_is_told_by_the_hubs_codes(
    hub: HubServer, target: str, code: str, message: str
) -> None:
    answer = request(hub.url, target)
    assert_error(answer, 404, code, message)
    if code == "EntryNotFound":
        assert answer.headers["X-Repo-Commit"] == commit_of(hub)


def test_a_tree_lists_one_folder_or_all_below_it(hub: HubServer) -> None:
    def paths(target: str) -> list[tuple[str, str]]:
        tree = json.loads(request(hub.url, target).body)
        return [(entry["type"], entry["path"]) for entry in tree]

    tree = "/api/models/tiny-gptj/tree/main"
    assert paths(tree) == [
        ("file", "config.json"),
        ("file", "model.safetensors"),
        ("directory", "onnx"),
        ("file", "vocab.txt"),
    ]
    assert paths(f"{tree}/onnx?recursive=false") == [
        ("file", "onnx/model.bin"),
        ("directory", "onnx/notes"),
    ]
    assert paths(f"{tree}/onnx%2Fnotes") == [("file", "onnx/notes/empty.txt")]
    assert paths(f"{tree}?recursive=true") == [
        ("file", "config.json"),
        ("file", "model.safetensors"),
        ("directory", "onnx"),
        ("file", "onnx/model.bin"),
        ("directory", "onnx/notes"),
        ("file", "onnx/notes/empty.txt"),
        ("file", "vocab.txt"),
    ]


@pytest.mark.parametrize(
    "target",
    [
        b"/tiny-gptj/resolve/main/../../../secret",
        b"/tiny-gptj/resolve/main/..%2f..%2f..%2fsecret",
        b"/tiny-gptj/resolve/main/%2e%2e/%2e%2e/secret",
        b"/tiny-gptj/resolve/main/%2e%2e%2f%2e%2e%2fsecret",
        b"/tiny-gptj/resolve/main/..\\..\\secret",
        b"/tiny-gptj/resolve/main//etc/passwd",
        b"/tiny-gptj/resolve/main/%2fetc%2fpasswd",
        b"/tiny-gptj/resolve/main/secret",
        b"/tiny-gptj/resolve/main/.secret",
        b"/tiny-gptj/resolve/main/vocab.txt%00",
        b"/tiny-gptj/resolve/main/%00",
        b"/tiny-gptj/resolve/main/./vocab.txt",
        b"/tiny-gptj/resolve/%2e%2e/vocab.txt",
        b"/../resolve/main/secret",
        b"/%2e%2e/resolve/main/secret",
        b"/tiny-gptj/../resolve/main/config.json",
        b"/..%2f/resolve/main/secret",
        b"/%2fetc/resolve/main/passwd",
        b"/api/models/../../secret",
        b"/api/models/%2e%2e",
        b"/api/models/tiny-gptj/tree/main/..",
        b"/api/models/tiny-gptj/tree/main/%2e%2e%2fEleutherAI",
        b"//etc/passwd",
        b"///tiny-gptj/resolve/main/../../secret",
        b"file:///etc/passwd",
    ],
)
def test_no_path_leads_out_of_a_model(root: Path, target: bytes) -> None:
    (root.parent / "secret").write_text("secret")
    (root / "tiny-gptj/.secret").write_text("secret")
    (root / "tiny-gptj/secret").symlink_to("../../secret")
    with HubServer(root) as hub:
        received = exchange(hub.url, b"GET %s HTTP/1.1\r\nConnection: close\r\n\r\n" % target)
    assert received.startswith(b"HTTP/1.1 404 "), received
    _, _, body = received.partition(b"\r\n\r\n")
    assert set(json.loads(body)) == {"error"}


def test_a_request_cannot_add_headers_to_its_answer(hub: HubServer) -> None:
    received = exchange(
        hub.url,
        b"GET /tiny-gptj/resolve/main/a%0d%0aSet-Cookie:%20b HTTP/1.1\r\nConnection: close\r\n\r\n",
    )
    head, _, _ = received.partition(b"\r\n\r\n")
    assert b"\r\nSet-Cookie" not in head
    assert b"a\\r\\nSet-Cookie: b" in head


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"])
def test_the_mirror_is_read_only(hub: HubServer, method: str) -> None:
    answer = request(hub.url, VOCAB, method=method)
    assert_error(answer, 405, None, "read-only")
    assert answer.headers["Allow"] == "GET, HEAD"


def test_a_client_that_sends_a_body_still_gets_its_answer(hub: HubServer) -> None:
    body = b"x" * 500_000
    received = exchange(
        hub.url, b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    assert received.startswith(b"HTTP/1.1 405 "), "the body must not be read as another request"
    assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"GET /%ff/resolve/main/x HTTP/1.1\r\nConnection: close\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 500_000 + b"\r\n\r\n", b"431"),
    ],
)
def test_what_is_not_a_request_is_refused_and_ends_the_connection(
    hub: HubServer, sent: bytes, status: bytes
) -> None:
    received = exchange(hub.url, sent)
    assert received.startswith(b"HTTP/1.1 %s " % status)
    assert b"\r\nConnection: close\r\n" in received
    assert request(hub.url, "/healthz").body == b"ok\n"


def test_a_changed_file_is_served_under_a_new_commit_alone(root: Path, hub: HubServer) -> None:
    before = commit_of(hub)
    assert request(hub.url, f"/tiny-gptj/resolve/{before}/vocab.txt").body == b"hello\n"
    (root / "tiny-gptj/vocab.txt").write_text("HELLO\n")
    after = commit_of(hub)
    assert after != before
    assert_error(
        request(hub.url, f"/tiny-gptj/resolve/{before}/vocab.txt"), 404, "RevisionNotFound", before
    )
    assert_error(
        request(hub.url, f"/tiny-gptj/resolve/{before}/config.json"),
        404,
        "RevisionNotFound",
        before,
    )
    answer = request(hub.url, f"/tiny-gptj/resolve/{after}/vocab.txt")
    assert (answer.body, answer.headers["X-Repo-Commit"]) == (b"HELLO\n", after)


def test_every_request_has_a_line_in_the_access_log(
    hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="local_platform.hub.access"):
        for number, sent in enumerate(
            [
                b"GET %s?download=true HTTP/1.1\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n"
                % VOCAB.encode(),
                b"\x1b[31m\r\n\r\n",
            ]
        ):
            exchange(hub.url, sent)
            deadline = time.monotonic() + 10
            while len(caplog.messages) == number and time.monotonic() < deadline:
                time.sleep(0.01)
    first, second = caplog.messages
    assert first.startswith(f"GET {VOCAB} 206 2 bytes ")
    assert second.startswith("- - 400 ")
