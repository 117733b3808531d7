"""What Triton writes, with its own lines from 2.51, and what a user gets to see of it."""

import io
from collections.abc import Sequence

import pytest

from ft_serving.server.output import ServerOutput

NO_GPU = 'E1123 13:42:31.689 18574 server.cc:241] "CudaDriverHelper has not been initialized."'
DAMAGED = (
    "E1123 14:00:59.258155 15647 model_lifecycle.cc:642] \"failed to load 'fastertransformer' "
    r"version 1: Internal: TritonModelException: /vol/tiny \"x\" is damaged:\n"
    r"  fastertransformer/1/model.wte.bin: has 524284 bytes, must have 524288\n\nAt:\n"
    r'  /backends/fastertransformer/model.py(53): initialize\n"'
)
GAVE_UP = "error: creating server: Internal - failed to load all models"


def failure(*lines: str) -> str:
    text = "".join(line + "\n" for line in lines)
    return ServerOutput(io.StringIO(text), verbose=False).failure()


def test_a_refused_model_is_told_in_the_backends_words_alone() -> None:
    assert failure(NO_GPU, DAMAGED, GAVE_UP) == (
        '/vol/tiny "x" is damaged:\n'
        "  fastertransformer/1/model.wte.bin: has 524284 bytes, must have 524288"
    )


def test_a_defect_of_the_backend_keeps_the_name_of_its_class() -> None:
    line = (
        "E1123 13:42:31.844505 18574 model_lifecycle.cc:642] \"failed to load 'fastertransformer' "
        r"version 1: Internal: ModuleNotFoundError: No module named 'numpy'\n\nAt:\n  x(3)\n"
        '"'
    )
    assert failure(NO_GPU, line) == "ModuleNotFoundError: No module named 'numpy'"


def test_other_errors_are_told_without_their_prefix() -> None:
    line = (
        'E1123 14:01:01.889723 15707 main.cc:257] "failed to start HTTP service: Unavailable - '
        "Socket '127.0.0.1:18000' already in use \""
    )
    assert failure(NO_GPU, "I1123 13:43:21.3 1 x.cc:1] fine", line) == (
        "failed to start HTTP service: Unavailable - Socket '127.0.0.1:18000' already in use "
    )
    assert failure(GAVE_UP) == "creating server: Internal - failed to load all models"


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["terminate called", "Aborted"], "terminate called\nAborted"),
        (['E1123 13:42:31.6 1 x.cc:1] "not \\quoted as JSON"'], '"not \\quoted as JSON"'),
        ([NO_GPU, "Signal (15) received."], "it gave no reason"),
        ([], "it gave no reason"),
    ],
)
def test_whatever_there_is_is_told(lines: Sequence[str], told: str) -> None:
    assert failure(*lines) == told


@pytest.mark.parametrize("verbose", [False, True])
def test_noise_is_passed_on_only_to_who_wants_everything(
    verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    ServerOutput(io.StringIO(NO_GPU + "\n"), verbose=verbose).failure()
    assert capsys.readouterr().err == (NO_GPU + "\n" if verbose else "")
