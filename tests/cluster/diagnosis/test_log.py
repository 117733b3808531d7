"""What a log tells of a failure."""

from ft_serving.cluster.diagnosis.causes.containers import MOST_LINES, model_failure, telling_lines
from tests.cluster.diagnosis.recorded_snapshots import recorded


def test_of_tritons_log_only_what_tells_is_shown() -> None:
    snapshot, _ = recorded("weights-altered")
    (log,) = [log for (_, container), log in snapshot.logs.items() if container != "queue-proxy"]
    lines = telling_lines(log).splitlines()
    assert len(log.splitlines()) > 2 * MOST_LINES
    assert lines[-1] == "error: creating server: Internal - failed to load all models"
    assert not [line for line in lines if line.startswith(("I1123", "|", "+"))]


def test_the_last_lines_of_a_long_log_are_few_and_not_endless() -> None:
    log = "\n".join(f"{number} " + "x" * 1000 for number in range(50))
    lines = telling_lines(log).splitlines()
    assert [line.split()[0] for line in lines] == [str(number) for number in range(40, 50)]
    assert max(map(len, lines)) <= 400


def test_the_backends_message_is_taken_from_the_last_attempt() -> None:
    line = (
        "E1123 16:42:33.736639 7 model_lifecycle.cc:642] \"failed to load 'fastertransformer' "
        'version 1: Internal: TritonModelException: {}\\n\\nAt:\\n  /opt/model.py(54): x\\n"'
    )
    log = "\n".join([line.format("the first"), "noise", line.format("the last:\\n  a.bin")])
    assert model_failure(log) == "the last:\n  a.bin"


def test_a_repository_that_is_not_there_is_told() -> None:
    log = "x\nerror: creating server: Internal - failed to stat file /mnt/models/none\n"
    assert model_failure(log) == "failed to stat file /mnt/models/none"


def test_a_log_of_another_failure_has_no_model_failure() -> None:
    assert model_failure("ValueError: no\n") is None
    assert model_failure("error: creating server: Internal - failed to load all models") is None
    assert model_failure("") is None
