"""The server ends with the process that runs its model, but not when that ends as it should."""

import signal
import subprocess
import sys

import pytest

SERVER = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
model = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
model.wait()
print("the model's process has ended", flush=True)
# In short steps: a signal that came just before a long one would be handled after it.
end = time.monotonic() + float(sys.argv[2])
while time.monotonic() < end:
    time.sleep(0.02)
"""

MODEL = """
import os, signal
from ft_serving.server.backend.watchdog import Watchdog
watchdog = Watchdog()
"""


def run_server(end: str, patience: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SERVER, MODEL + end, str(patience)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "end",
    ["os.kill(os.getpid(), signal.SIGKILL)", "os.killpg(0, signal.SIGKILL)", "os._exit(1)"],
    ids=["killed", "killed with its group", "crashed"],
)
def test_the_server_is_ended_when_the_models_process_dies(end: str) -> None:
    if "killpg" in end:
        end = "os.setpgid(0, 0); " + end
    done = run_server(end, patience=30)
    assert done.returncode == -signal.SIGKILL, "asked kindly, it would wait for its connections"
    assert "the process that ran the model was killed" in done.stderr


def test_a_dismissed_watchdog_ends_nothing() -> None:
    done = run_server("watchdog.dismiss()", patience=1)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "the model's process has ended\n"
