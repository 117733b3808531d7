"""`ft-serving gate-job` against an API server that answers from recordings."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ft_serving.cluster.diagnosis import Kind
from tests.cluster.diagnosis.recorded_api import RecordedApi, recorded_api
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded
from tests.fake_api import TOKEN

SNAPSHOT = recorded("job")[0]


def gate_job(api: RecordedApi, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command; its termination message is in the file `termination` of the folder."""
    (folder / "termination").touch()
    return subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ft-serving")), "gate-job", "--job", "weights"),
            *("--termination-log", str(folder / "termination"), *options),
        ],
        env={**os.environ, "KUBECONFIG": str(api.kubeconfig(folder))},
        capture_output=True,
        text=True,
        timeout=60,
    )


def job(*conditions: dict[str, str]) -> list[Any]:
    (recorded_job,) = SNAPSHOT.all(Kind.JOBS)
    return [{**recorded_job, "status": {"conditions": list(conditions)}}]


def test_a_job_that_failed_ends_it_at_once_with_the_jobs_own_words(tmp_path: Path) -> None:
    with recorded_api(SNAPSHOT) as api:
        done = gate_job(api, tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    message = (tmp_path / "termination").read_text()
    assert message == (
        "Job weights does not succeed.\nIt failed (BackoffLimitExceeded): Error: The hub answers "
        "401: give a token that may read EleutherAI/gpt-j-6b (HF_TOKEN)"
    )
    assert done.stderr == f"Error: {message}\n"
    assert TOKEN not in done.stderr


def test_a_job_that_succeeded_is_said_so(tmp_path: Path) -> None:
    complete = {"type": "Complete", "status": "True"}
    with recorded_api(changed(SNAPSHOT, jobs=job(complete))) as api:
        done = gate_job(api, tmp_path)
    assert (done.returncode, done.stdout) == (0, "Job weights has succeeded\n"), done.stderr
    assert (tmp_path / "termination").read_text() == ""


def test_time_that_is_up_is_told_with_what_was_waited_for(tmp_path: Path) -> None:
    with recorded_api(changed(SNAPSHOT, jobs=job(), pods=[])) as api:
        done = gate_job(api, tmp_path, "--timeout", "1")
    assert done.returncode == 1
    message = (tmp_path / "termination").read_text()
    assert message.startswith("Job weights has not succeeded after 1 s")
    assert message.endswith("\nit has no pod yet")


def test_a_cluster_without_kserve_has_jobs_all_the_same(tmp_path: Path) -> None:
    complete = {"type": "Complete", "status": "True"}
    with recorded_api(changed(SNAPSHOT, jobs=job(complete))) as api:
        api.refusals = {"/inferenceservices": 404}
        done = gate_job(api, tmp_path, "--namespace", "other")
    assert done.returncode == 0, done.stderr
    read = {path for path in api.asked if "/namespaces/other/" in path}
    assert {path.rpartition("/")[2] for path in read} == {
        "jobs",
        "pods",
        "persistentvolumeclaims",
        "events",
    }
