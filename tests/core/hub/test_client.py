"""The hub client against a hub that refuses, fails, lies and redirects."""

import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub.client import Hub, RemoteFile
from tests.core.hub.faulty_hub import COMMIT, REPOSITORY, TOKEN, Fault, FaultyHub


def test_a_snapshot_names_the_commit_and_every_file_with_its_hash(faulty: FaultyHub) -> None:
    snapshot = Hub(faulty.endpoint, None).snapshot(REPOSITORY, "main")
    assert snapshot.repository == "some/model"
    assert snapshot.revision == COMMIT
    plain, large, below = snapshot.files.values()
    assert plain == RemoteFile(
        name="config.json",
        size=3,
        sha256=None,
        git_blob="0967ef424bce6791893e9a57bb952f80fd536e93",
    )
    assert large == RemoteFile(
        name="model.bin",
        size=10,
        sha256="84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882",
        git_blob="f" * 40,
    )
    assert (below.name, below.size) == ("sub folder/a+b.txt", 0)


def test_the_environment_gives_endpoint_and_token(faulty: FaultyHub) -> None:
    hub = Hub.from_environment({"HF_ENDPOINT": f"{faulty.endpoint}/", "HF_TOKEN": f"{TOKEN}\n"})
    hub.read(hub.snapshot(REPOSITORY, "main"), "config.json")
    assert hub.endpoint == faulty.endpoint
    assert [request.headers["authorization"] for request in faulty.requests] == [
        f"Bearer {TOKEN}",
        f"Bearer {TOKEN}",
    ]


def test_no_token_is_sent_that_was_not_given(
    faulty: FaultyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub = Hub(faulty.endpoint, None)
    hub.read(hub.snapshot(REPOSITORY, "main"), "config.json")
    assert all("authorization" not in request.headers for request in faulty.requests)


@pytest.mark.parametrize(
    "endpoint",
    ["huggingface.co", "ftp://hub.test", "https://", "https://hub.test?x=1", "http://h:x"],
)
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(
        FtServingError, match=r"HF_ENDPOINT: must be an address such as https://hugg"
    ):
        Hub(endpoint, None)


@pytest.mark.parametrize("host", ["hub.test", "[", ""])
def test_a_password_in_the_endpoint_is_refused_and_not_repeated(host: str) -> None:
    with pytest.raises(FtServingError, match="HF_ENDPOINT") as caught:
        Hub(f"https://me:hunter2@{host}", None)
    assert "hunter2" not in str(caught.value)


def test_a_token_that_cannot_be_one_is_refused_and_not_repeated() -> None:
    with pytest.raises(FtServingError, match="HF_TOKEN") as caught:
        Hub("https://hub.test", "hf_a\nhf_b")
    assert "hf_a" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "headers", "token", "expected"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, TOKEN, r"accept the terms on .*/some/model, then set"),
        (401, {"X-Error-Code": "GatedRepo"}, None, r"accept the terms .* HF_TOKEN \(none is set\)"),
        (
            401,
            {"X-Error-Message": "Invalid credentials in Authorization header"},
            TOKEN,
            r"rejected the token \(401 Invalid credentials .*set HF_TOKEN to a valid",
        ),
        (401, {}, None, r"wants a token \(401\); set HF_TOKEN \(none is set\) to"),
        (401, {"X-Error-Code": "RepoNotFound"}, None, r"no such model at .* is private, which lo"),
        (
            404,
            {"X-Error-Code": "RepoNotFound"},
            TOKEN,
            r"no such model at .*set HF_TOKEN to a token",
        ),
        (404, {}, None, r"no such model at http://127\.0\.0\.1:\d+; check the name"),
        (404, {"X-Error-Code": "RevisionNotFound"}, None, r"no revision 'v9' at .*a branch, a tag"),
        (418, {}, None, r"127\.0\.0\.1:\d+ answered 418 for its metadata; .* HF_ENDPOINT"),
        (403, {"X-Error-Message": "Access disabled"}, TOKEN, r"refused .*\(403 Access disabled\)"),
    ],
)
def test_what_the_hub_refuses_is_said_once_with_what_to_do(
    faulty: FaultyHub, status: int, headers: dict[str, str], token: str | None, expected: str
) -> None:
    faulty.metadata_faults.append(Fault(status=status, headers=headers))
    with pytest.raises(FtServingError, match=expected) as caught:
        Hub(faulty.endpoint, token).snapshot(REPOSITORY, "v9")
    assert str(caught.value).startswith("some/model: ")
    assert TOKEN not in str(caught.value)
    assert len(faulty.requests) == 1, "a refusal is final: asking again only delays the message"


@pytest.mark.parametrize("headers", [{}, {"X-Error-Code": "EntryNotFound"}])
def test_a_file_that_only_the_metadata_know_is_named(
    faulty: FaultyHub, headers: dict[str, str]
) -> None:
    hub = Hub(faulty.endpoint, None)
    snapshot = hub.snapshot(REPOSITORY, "main")
    faulty.content_faults.append(Fault(status=404, headers=headers))
    with pytest.raises(FtServingError, match=f"has no file 'config.json' in revision {COMMIT}"):
        hub.read(snapshot, "config.json")
