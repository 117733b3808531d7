"""A docker command line for tests: a script that notes how it was called and answers as told."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_SCRIPT = """#!{python} -IS
import json, os, pathlib, stat, sys
arguments = sys.argv[1:]
config = os.environ.get("DOCKER_CONFIG")
call = {{"arguments": arguments, "host": os.environ.get("DOCKER_HOST"), "config": config}}
call["buildkit"] = os.environ.get("DOCKER_BUILDKIT")
if config and os.path.exists(config + "/config.json"):
    call["mode"] = stat.S_IMODE(os.stat(config).st_mode)
    call["written"] = json.load(open(config + "/config.json"))
here = pathlib.Path({folder!r})
with open(here / "calls", "a") as file:
    file.write(json.dumps(call) + "\\n")
answers = json.loads((here / "answers").read_text())
answer = answers.get(arguments[0], {{}})
print(answer.get("text", ""), flush=True)
if "sleep" in answer:
    import time
    time.sleep(answer["sleep"])
sys.exit(answer.get("status", 0))
"""


@dataclass
class DockerCommand:
    """The script's folder, which is first on PATH."""

    folder: Path

    def answer(self, command: str, text: str = "", *, status: int = 0, sleep: float = 0) -> None:
        """Sets what a command, such as "build", writes and how it ends."""
        path = self.folder / "answers"
        answers = json.loads(path.read_text())
        answers[command] = {"text": text, "status": status, "sleep": sleep}
        path.write_text(json.dumps(answers))

    def calls(self, command: str) -> list[dict[str, Any]]:
        """How a command was called, each time."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [call for line in lines if (call := json.loads(line))["arguments"][0] == command]


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> DockerCommand:
    """A docker command line alone on PATH, version 20.10, whose commands all do nothing, well."""
    folder.mkdir()
    script = folder / "docker"
    script.write_text(_SCRIPT.format(python=sys.executable, folder=str(folder)))
    script.chmod(0o755)
    (folder / "answers").write_text("{}")
    command = DockerCommand(folder)
    command.answer("--version", "Docker version 20.10.24, build 297e128")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return command
