"""Parts are fetched, verified and named, whatever a hub does."""

import time
from collections.abc import Callable

import pytest

from ft_serving.core.errors import FtServingError
from ft_serving.core.hub import parts, transport
from tests.core.hub.download.case import FILES, LARGE, PART, Case, tree
from tests.core.hub.faulty_hub import Fault, FaultyHub


@pytest.mark.parametrize("connections", [1, 4])
def test_files_arrive_whole_under_their_names_and_nothing_else_stays(
    case: Case, connections: int
) -> None:
    assert case.missing(*FILES) == 35 * PART + 7 + 3
    case.run(*FILES, connections=connections)
    assert tree(case.folder) == FILES
    assert case.missing(*FILES) == 0


def test_parts_are_fetched_once_each_and_by_ranges(case: Case, faulty: FaultyHub) -> None:
    case.run("model.bin", "model.bin")
    ranges = sorted(request.headers["range"] for request in faulty.content_requests)
    assert ranges == sorted(
        [f"bytes={start}-{start + 999}" for start in range(0, 32_000, 1000)] + ["bytes=32000-32006"]
    )


def test_verified_files_are_not_fetched_again(case: Case, faulty: FaultyHub) -> None:
    case.run(*FILES)
    faulty.requests.clear()
    case.run(*FILES)
    assert faulty.content_requests == []
    assert tree(case.folder) == FILES
    assert "nothing to do, 34.2 KiB were there" in case.log.getvalue()


@pytest.mark.parametrize(
    ("alter", "said"),
    [
        (lambda content: b"x" + content[1:], "model.bin: what is here has the hash"),
        (lambda content: content[:-1], "model.bin: not of the hub's size"),
    ],
)
def test_an_altered_file_is_replaced_and_the_user_told(
    case: Case, alter: Callable[[bytes], bytes], said: str
) -> None:
    case.run("model.bin", "config.json")
    (case.folder / "model.bin").write_bytes(alter(LARGE))
    case.run("model.bin", "config.json")
    assert tree(case.folder) == {"model.bin": LARGE, "config.json": b"{}\n"}
    assert said in case.log.getvalue()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503),
        Fault(drop_after=300),
        Fault(stall_after=300),
        Fault(ignore_range=True),
        Fault(ignore_range=True, drop_after=5300),
        Fault(headers={"Content-Range": "bytes 0-999/5000"}),
    ],
)
def test_passing_faults_of_any_kind_are_overcome(
    case: Case, faulty: FaultyHub, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "READ_TIMEOUT_S", 0.2)
    faulty.content_faults.extend([fault] * 5)
    case.run(*FILES)
    assert tree(case.folder) == FILES


def test_a_dropped_connection_goes_on_within_the_part(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.append(Fault(drop_after=512))
    case.run("shards/two.bin", connections=1)
    assert [request.headers["range"] for request in faulty.content_requests] == [
        "bytes=0-999",
        "bytes=512-999",
        "bytes=1000-1999",
        "bytes=2000-2999",
    ]
    assert "shards/two.bin: lost the connection to http://127.0.0.1" in case.log.getvalue()


def test_tries_are_counted_anew_where_a_connection_moves_on(
    case: Case, faulty: FaultyHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_BYTES", 32 * PART)
    faulty.content_faults.extend([Fault(drop_after=256)] * 20)
    case.run(connections=1)
    assert tree(case.folder) == {"model.bin": LARGE}


def test_a_server_that_never_gets_further_is_given_up(case: Case, faulty: FaultyHub) -> None:
    faulty.always = Fault(drop_after=0)
    with pytest.raises(FtServingError, match=r"model\.bin: lost the connection .*last of 7 tries"):
        case.run()


@pytest.mark.parametrize("connections", [1, 4])
def test_a_server_without_ranges_sends_the_file_in_one_stream(
    case: Case, faulty: FaultyHub, connections: int
) -> None:
    faulty.always = Fault(ignore_range=True)
    case.run(connections=connections)
    assert tree(case.folder) == {"model.bin": LARGE}
    assert len(faulty.content_requests) <= connections, "the rest of a stream must not be wasted"


def test_a_stream_without_ranges_survives_drops(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend(
        Fault(ignore_range=True, drop_after=count) for count in (500, 9000, 17_000)
    )
    faulty.always = Fault(ignore_range=True)
    case.run(connections=1)
    assert tree(case.folder) == {"model.bin": LARGE}
    assert len(faulty.content_requests) == 4


def test_wrong_bytes_are_fetched_once_more(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.append(Fault(flip_a_byte=True))
    case.run("model.bin", "config.json")
    assert tree(case.folder) == {"model.bin": LARGE, "config.json": b"{}\n"}
    assert "model.bin: what came has the hash" in case.log.getvalue()
    assert "download model.bin  31.3 KiB in " in case.log.getvalue()
    assert len(faulty.content_requests) == 33 + 1 + 33


def test_an_end_by_refusal_stops_all_and_keeps_the_parts(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend([Fault()] * 10 + [Fault(status=404)])
    began = time.monotonic()
    with pytest.raises(FtServingError, match=r"has no file 'model\.bin'"):
        case.run()
    assert time.monotonic() - began < 8
    assert len(faulty.content_requests) < 33
    missing = case.missing()
    assert 0 < missing < 32 * PART + 7
    faulty.requests.clear()
    case.run()
    assert sum(request.nbytes for request in faulty.content_requests) == missing
    assert tree(case.folder) == {"model.bin": LARGE}


def test_a_failure_does_not_wait_for_a_stalled_connection(case: Case, faulty: FaultyHub) -> None:
    faulty.content_faults.extend([Fault(stall_after=10)] * 3 + [Fault(status=404)])
    began = time.monotonic()
    with pytest.raises(FtServingError, match="has no file"):
        case.run()
    assert time.monotonic() - began < 8, "the read time-out is 30 s"
    assert "trying again" not in case.log.getvalue()


def test_the_storage_that_a_hub_redirects_to_is_asked_directly_from_then_on(
    case: Case, faulty: FaultyHub
) -> None:
    with FaultyHub(FILES) as storage:
        faulty.redirect_to = storage
        case.run(connections=1)
        assert tree(case.folder) == {"model.bin": LARGE}
        assert len(faulty.content_requests) == 1
        assert len(storage.content_requests) == 33
        assert all("authorization" not in request.headers for request in storage.requests)


def test_an_expired_address_is_replaced_by_asking_the_hub_again(
    case: Case, faulty: FaultyHub
) -> None:
    with FaultyHub(FILES) as storage:
        faulty.redirect_to = storage
        storage.content_faults.extend([Fault()] * 10 + [Fault(status=403)])
        case.run(connections=1)
        assert tree(case.folder) == {"model.bin": LARGE}
        assert len(faulty.content_requests) == 2
