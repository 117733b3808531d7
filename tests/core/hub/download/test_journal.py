"""A download uses the sound parts that an earlier one left."""

import pytest

from ft_serving.core.errors import FtServingError
from tests.core.hub.download.case import LARGE, PART, Case, tree
from tests.core.hub.faulty_hub import Fault, FaultyHub


def journal(case: Case, *lines: bytes) -> bytes:
    digest = case.snapshot.files["model.bin"].digest
    return b"".join([f"{digest} 32007 1000\n".encode(), *lines])


def begin(case: Case, content: bytes, text: bytes) -> None:
    case.folder.mkdir(parents=True)
    (case.folder / "model.bin.part").write_bytes(content)
    (case.folder / "model.bin.part.journal").write_bytes(text)


def test_parts_in_the_journal_are_not_fetched_again(case: Case, faulty: FaultyHub) -> None:
    begin(case, LARGE[:3000] + bytes(29_007), journal(case, b"0\n", b"2\n", b"1\n"))
    assert case.missing() == 29_007
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert sum(request.nbytes for request in faulty.content_requests) == 29_007
    assert "download  2.9 KiB of 31.3 KiB  9%\n" in case.log.getvalue()


def test_a_journal_whose_content_is_wrong_costs_a_fresh_start(
    case: Case, faulty: FaultyHub
) -> None:
    begin(case, bytes(32_007), journal(case, b"0\n", b"1\n"))
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert "what is here has the hash" in case.log.getvalue()


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b"1", 1),
        (b"1\n3", 2),
        (b"x\n1\n", 1),
        (b"\0\0\0\0", 1),
        (b"9" * 5000 + b"\n", 1),
    ],
)
def test_a_torn_or_damaged_journal_counts_up_to_the_damage(
    case: Case, tail: bytes, kept: int
) -> None:
    begin(case, LARGE[:2000] + bytes(30_007), journal(case, b"0\n", tail))
    assert case.missing() == 32_007 - kept * PART
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert "again" not in case.log.getvalue(), "a torn line must not pass for a finished part"


def test_a_line_written_after_a_torn_one_does_not_run_into_it(
    case: Case, faulty: FaultyHub
) -> None:
    begin(case, LARGE[:1000] + bytes(31_007), journal(case, b"0\n", b"1"))
    faulty.content_faults.extend([Fault(), Fault(status=404)])
    with pytest.raises(FtServingError):
        case.run(connections=1)
    text = (case.folder / "model.bin.part.journal").read_bytes()
    assert text == journal(case, b"0\n", b"1\n")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (LARGE, b"another-digest 32007 1000\n0\n"),
        (LARGE, b""),
        (LARGE[:-1], None),
        (b"", None),
    ],
)
def test_parts_of_another_content_are_not_used(
    case: Case, faulty: FaultyHub, content: bytes, text: bytes | None
) -> None:
    begin(case, content, journal(case, b"0\n") if text is None else text)
    assert case.missing() == 32_007
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
    assert sum(request.nbytes for request in faulty.content_requests) == 32_007


def test_a_journal_left_by_a_kill_after_the_rename_is_removed(case: Case) -> None:
    begin(case, b"", journal(case, b"0\n"))
    (case.folder / "model.bin.part").unlink()
    (case.folder / "model.bin").write_bytes(LARGE)
    case.run()
    assert tree(case.folder) == {"model.bin": LARGE}
