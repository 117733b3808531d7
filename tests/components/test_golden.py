"""Every resource of every stack, as a file to review.

`pytest tests/components/test_golden.py --rewrite-golden` writes the files anew.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from operations.recording.recorder import Recording, Registered
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
    resources = sorted(map(_shown, recording.resources), key=lambda it: (it["type"], it["name"]))
    text = yaml.safe_dump(
        {"resources": resources, "outputs": recording.exports}, sort_keys=True, width=100
    )
    # A tag changes with every file of the image, and with it nothing that is reviewed here.
    text = re.sub(r"(imageName: \S+):[0-9a-f]{16}\b", r"\1:CONTENT", text)
    return re.sub(r"smoke-test-[0-9a-f]{12}\b", "smoke-test-STATE", text)


def _shown(resource: Registered) -> dict[str, Any]:
    request = resource.request
    options = {
        "protect": getattr(request, "protect", False),
        "retainOnDelete": getattr(request, "retainOnDelete", False),
        "deleteBeforeReplace": getattr(request, "deleteBeforeReplace", False),
        "replaceOnChanges": list(getattr(request, "replaceOnChanges", ())),
        "createTimeout": request.customTimeouts.create if not resource.read else "",
        "dependencies": sorted(resource.dependencies),
    }
    return {
        "type": resource.type,
        "name": resource.name,
        "parent": resource.parent,
        "read": resource.read,
        "inputs": json.loads(json.dumps(resource.inputs)),
        "options": {name: value for name, value in options.items() if value},
    }
