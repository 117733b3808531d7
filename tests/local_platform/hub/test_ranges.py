import pytest

from local_platform.errors import RefusedRequestError
from local_platform.hub.ranges import ByteRange, parse_range


@pytest.mark.parametrize(
    ("header", "offset", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=2-5", 2, 4),
        ("bytes=9-9", 9, 1),
        ("bytes=4-", 4, 6),
        ("bytes=0-", 0, 10),
        ("bytes=-3", 7, 3),
        ("bytes=-10", 0, 10),
        ("Bytes= 2-5", 2, 4),
    ],
)
def test_a_single_range_is_read(header: str, offset: int, length: int) -> None:
    assert parse_range(header, 10) == ByteRange(offset=offset, length=length)


@pytest.mark.parametrize(
    ("header", "offset", "length"),
    [("bytes=8-99", 8, 2), ("bytes=-99", 0, 10), ("bytes=0-99999999999999999999", 0, 10)],
)
def test_a_range_that_leaves_the_file_is_cut_at_its_end(
    header: str, offset: int, length: int
) -> None:
    assert parse_range(header, 10) == ByteRange(offset=offset, length=length)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_a_range_outside_the_file_is_refused_with_the_size(header: str) -> None:
    with pytest.raises(RefusedRequestError, match=header) as caught:
        parse_range(header, 10)
    assert caught.value.headers == {"Content-Range": "bytes */10"}


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=-1", "bytes=0-0"])
def test_an_empty_file_has_no_range(header: str) -> None:
    with pytest.raises(RefusedRequestError):
        parse_range(header, 0)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=-",
        "bytes=5-2",
        "bytes=0-1,4-5",
        "lines=0-1",
        "bytes=a-b",
        "bytes=1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=\u0663-",
        "bytes=0-" + "9" * 5000,
    ],
)
def test_what_is_not_a_single_range_of_bytes_asks_for_the_whole_file(header: str | None) -> None:
    assert parse_range(header, 10) is None
