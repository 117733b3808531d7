"""Every resource of every stack, as a file to review.

`pytest tests/components/test_golden.py --rewrite-golden` writes the files anew.
"""

import re
from pathlib import Path

import pytest
import yaml

from operations.recording.listing import listing
from operations.recording.recorder import Recording
from tests.components.program import program
from tests.stacks.documents import ROOT, SHIPPED

GOLDEN = ROOT / "tests" / "golden"


@pytest.mark.parametrize("stack", SHIPPED)
def test_a_stack_is_what_was_reviewed(stack: str, pytestconfig: pytest.Config) -> None:
    file = GOLDEN / f"{stack}.yaml"
    text = normalised(program(stack))
    if pytestconfig.getoption("--rewrite-golden"):
        file.write_text(text)
    assert text == file.read_text(), (
        f"{file.relative_to(ROOT)} is what was reviewed; if the change is wanted, run pytest with "
        "--rewrite-golden and review the file's diff"
    )


def test_a_golden_list_belongs_to_each_stack_and_no_other() -> None:
    assert {Path(file).stem for file in GOLDEN.iterdir()} == set(SHIPPED)


def normalised(recording: Recording) -> str:
    text = yaml.safe_dump(
        {"resources": listing(recording), "outputs": recording.exports}, sort_keys=True, width=100
    )
    # A tag changes with every file of the image, and with it nothing that is reviewed here.
    text = re.sub(r"(imageName: \S+):[0-9a-f]{16}\b", r"\1:CONTENT", text)
    return re.sub(
        r"((smoke-test|model-download(-gate)?|release-collection)-)[0-9a-f]{12}\b", r"\1HASH", text
    )
