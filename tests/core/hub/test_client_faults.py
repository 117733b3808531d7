"""The hub client, and hubs that are overloaded, broken or elsewhere."""

import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub import retry
from ft_serving.core.hub.client import Hub
from tests.core.hub.faulty_hub import COMMIT, FILES, REPOSITORY, TOKEN, Fault, FaultyHub


@pytest.mark.parametrize("faults", ["metadata_faults", "content_faults"])
def test_an_overloaded_hub_is_asked_again_and_the_user_told(faulty: FaultyHub, faults: str) -> None:
    said: list[str] = []
    hub = Hub(faulty.endpoint, None, said.append)
    getattr(faulty, faults).extend(Fault(status=status) for status in (500, 429, 503))
    assert hub.read(hub.snapshot(REPOSITORY, "main"), "config.json") == b"{}\n"
    assert [line.partition("; ")[2] for line in said] == [
        "trying again in 0.0 s (try 2 of 7)",
        "trying again in 0.0 s (try 3 of 7)",
        "trying again in 0.0 s (try 4 of 7)",
    ]
    assert f"{faulty.endpoint} answered 503" in said[2]


def test_a_hub_that_stays_overloaded_is_given_up(faulty: FaultyHub) -> None:
    hub = Hub(faulty.endpoint, None)
    snapshot = hub.snapshot(REPOSITORY, "main")
    faulty.always = Fault(status=503)
    with pytest.raises(
        FtServingError, match=r"answered 503 \(the last of 7 tries\).*try again later"
    ):
        hub.read(snapshot, "config.json")
    assert len(faulty.content_requests) == 7


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "Mon, 01 Jan 2024 00:00:00 GMT"}, 0),
        ({"Retry-After": "soon"}, None),
        ({"RateLimit": '"api";r=0;t=55'}, 55),
        ({"RateLimit": '"api";r=5;t=55'}, None),
        ({}, None),
    ],
)
def test_the_wait_that_a_server_asks_for_is_understood(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry.asked_wait_s(headers) == seconds


def test_waits_double_with_jitter_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 8.0)
    waits: list[float] = []
    backoff = retry.Backoff("x", lambda _: None, waits.append)
    for _ in range(6):
        backoff.wait(retry.TransientError("failed", "wait"))
    for wait, longest in zip(waits, [8, 16, 30, 30, 30, 30], strict=True):
        assert longest / 2 <= wait <= longest
    assert len(set(waits)) == 6, "connections that fail together must not come back together"
    backoff.renew()
    backoff.wait(retry.TransientError("failed", "wait", wait_s=7))
    assert waits[6] == 7, "a hub that says how long is asked again after that time"


def test_a_hub_that_asks_for_an_hour_is_not_waited_for(faulty: FaultyHub) -> None:
    faulty.metadata_faults.append(Fault(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(FtServingError, match="answered 429 and asks to wait 1 h 00 min"):
        Hub(faulty.endpoint, None).snapshot(REPOSITORY, "main")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"sha": None}, "its commit is None"),
        ({"sha": "main"}, "its commit is main"),
        ({"siblings": None}, "it lists no files"),
        ({"siblings": [{"rfilename": "a", "blobId": "0" * 40}]}, "a: its size is None"),
        ({"siblings": [{"rfilename": "a", "size": -1, "blobId": "0" * 40}]}, "a: its size is -1"),
        ({"siblings": [{"rfilename": "a", "size": 1}]}, "a: its git id is None"),
        (
            {
                "siblings": [
                    {
                        "rfilename": "a",
                        "size": 1,
                        "blobId": "0" * 40,
                        "lfs": {"size": 1, "sha256": "xyz", "pointerSize": 1},
                    }
                ]
            },
            "a: its SHA-256 is xyz",
        ),
        ({"siblings": [{"size": 1}]}, r"something else than a model's metadata \(KeyError"),
        ({"siblings": 5}, r"something else than a model's metadata \(TypeError"),
    ],
)
def test_incomplete_metadata_are_refused(
    faulty: FaultyHub, change: dict[str, object], expected: str
) -> None:
    faulty.metadata |= change
    with pytest.raises(FtServingError, match=expected):
        Hub(faulty.endpoint, None).snapshot(REPOSITORY, "main")


def test_another_commit_than_the_one_asked_for_is_refused(faulty: FaultyHub) -> None:
    asked = "a" * 40
    with pytest.raises(FtServingError, match=f"its commit is {COMMIT}, asked for was {asked}"):
        Hub(faulty.endpoint, None).snapshot(REPOSITORY, asked)
    assert Hub(faulty.endpoint, None).snapshot(REPOSITORY, COMMIT).revision == COMMIT


def test_names_that_leave_the_folder_are_all_refused_at_once(faulty: FaultyHub) -> None:
    names = ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", "", "a\0b"]
    faulty.metadata["siblings"] = [
        {"rfilename": name, "size": 1, "blobId": "0" * 40} for name in names
    ]
    with pytest.raises(FtServingError, match="incomplete or unsafe") as caught:
        Hub(faulty.endpoint, None).snapshot(REPOSITORY, "main")
    for name in names:
        assert f"the name {name!r} is not" in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>Please log in</html>", b"[]", b"\xff"])
def test_a_page_that_is_no_metadata_is_refused(faulty: FaultyHub, body: bytes) -> None:
    faulty.metadata_faults.append(Fault(status=200, body=body))
    with pytest.raises(
        FtServingError, match=r"something else than a model's metadata.*is HF_ENDPOINT"
    ):
        Hub(faulty.endpoint, None).snapshot(REPOSITORY, "main")


def test_a_file_too_large_to_be_a_small_one_is_not_read(faulty: FaultyHub) -> None:
    faulty.metadata["siblings"][0]["size"] = (32 << 20) + 1
    hub = Hub(faulty.endpoint, None)
    with pytest.raises(FtServingError, match=r"config\.json has 33554433 bytes; at most 33554432"):
        hub.read(hub.snapshot(REPOSITORY, "main"), "config.json")
    assert faulty.content_requests == []


@pytest.mark.parametrize("name", ["config.json", "model.bin"])
def test_wrong_bytes_are_never_returned(faulty: FaultyHub, name: str) -> None:
    hub = Hub(faulty.endpoint, None)
    snapshot = hub.snapshot(REPOSITORY, "main")
    faulty.content_faults.append(Fault(flip_a_byte=True))
    with pytest.raises(FtServingError, match=rf"{name}: .* {snapshot.files[name].digest}"):
        hub.read(snapshot, name)


def test_the_token_does_not_follow_a_redirect_to_another_host(faulty: FaultyHub) -> None:
    with FaultyHub(FILES) as storage:
        faulty.redirect_to = storage
        hub = Hub(faulty.endpoint, TOKEN)
        snapshot = hub.snapshot(REPOSITORY, "main")
        assert hub.read(snapshot, "model.bin") == b"0123456789"
        faulty.metadata_faults.append(
            Fault(
                status=307,
                headers={"Location": f"{storage.endpoint}/api/models/some/model/revision/main"},
            )
        )
        assert hub.snapshot(REPOSITORY, "main") == snapshot
    assert faulty.content_requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert len(storage.requests) == 2
    for request in storage.requests:
        assert "authorization" not in request.headers


def test_a_redirect_within_the_hub_keeps_the_token(faulty: FaultyHub) -> None:
    hub = Hub(faulty.endpoint, TOKEN)
    snapshot = hub.snapshot(REPOSITORY, "main")
    path = f"/some/model/resolve/{COMMIT}/model.bin"
    faulty.content_faults.append(Fault(status=307, headers={"Location": f"{path}?cached"}))
    assert hub.read(snapshot, "model.bin") == b"0123456789"
    assert [request.headers["authorization"] for request in faulty.content_requests] == [
        f"Bearer {TOKEN}",
        f"Bearer {TOKEN}",
    ]


def test_a_storage_that_refuses_is_not_taken_for_the_hub_and_its_signature_not_shown(
    faulty: FaultyHub,
) -> None:
    with FaultyHub(FILES) as storage:
        faulty.redirect_to = storage
        storage.always = Fault(status=403)
        hub = Hub(faulty.endpoint, None)
        snapshot = hub.snapshot(REPOSITORY, "main")
        with pytest.raises(FtServingError, match=f"{storage.endpoint} answered 403") as caught:
            hub.read(snapshot, "model.bin")
    assert "secret" not in str(caught.value)


def test_offline_mode_is_an_error_that_says_how_to_end_it(
    faulty: FaultyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FtServingError, match=r"offline mode is enabled.*HF_HUB_OFFLINE"):
        Hub(faulty.endpoint, None).snapshot(REPOSITORY, "main")
