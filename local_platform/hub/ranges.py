"""Byte ranges, as RFC 9110 section 14 has them."""

import re
from dataclasses import dataclass
from http import HTTPStatus

from local_platform.errors import RefusedRequestError

# Twenty digits hold any size there is; longer numbers are not worth their parsing.
_SINGLE_RANGE = re.compile(r"bytes=\s*([0-9]{0,20})-([0-9]{0,20})\s*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteRange:
    """A part of a file: `length` bytes from `offset`."""

    offset: int
    length: int


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """Read a Range header field.

    Args:
        header: its value, None if the field is absent.
        size: the file's size in bytes.

    Returns:
        The part asked for, cut at the file's end. None where the whole file is the answer: the
        field is absent, malformed, in another unit or of several ranges, which RFC 9110 section
        14.2 lets a server ignore.

    Raises:
        RefusedRequestError: no byte of the range lies within the file.
    """
    match = _SINGLE_RANGE.fullmatch(header) if header is not None else None
    if match is None:
        return None
    first, last = match.groups()
    if first and last and int(first) > int(last):
        return None
    if not first and not last:
        return None
    if first:
        offset = int(first)
        end = min(int(last) + 1, size) if last else size
    else:
        offset = max(size - int(last), 0)
        end = size
    if offset >= end:
        raise RefusedRequestError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            f"no byte of the range '{header}' lies within the file's {size} bytes",
            # RFC 9110 section 14.4 has the file's size here.
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(offset=offset, length=end - offset)
