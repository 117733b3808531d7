"""The termination message fits into what Kubernetes keeps."""

from pathlib import Path

from ft_serving.cluster.commands import TERMINATION_LIMIT, write_termination_message


def test_a_message_is_left_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    write_termination_message(file, "Image x cannot be pulled: not found")
    assert file.read_text() == "Image x cannot be pulled: not found"


def test_outside_of_a_container_nothing_is_written(tmp_path: Path) -> None:
    write_termination_message(tmp_path / "log", "Image x cannot be pulled")
    assert list(tmp_path.iterdir()) == []


def test_a_long_message_keeps_its_beginning_and_whole_characters(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    write_termination_message(file, "The cause. " + "ä" * 4096)
    content = file.read_bytes()
    assert TERMINATION_LIMIT - 4 < len(content) <= 4096
    assert content.startswith(b"The cause. ")
    assert content.decode().endswith("ä\n… (the log has the rest)")


def test_a_message_of_just_the_limit_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "log"
    file.touch()
    write_termination_message(file, "x" * 4096)
    assert file.read_text() == "x" * 4096
