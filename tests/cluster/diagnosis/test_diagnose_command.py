"""`ft-serving diagnose` against an API server that answers from recordings."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components import inference_service
from ft_serving.cluster.commands import INFERENCE_SERVICE, NAMESPACE
from ft_serving.cluster.diagnosis import Kind
from stacks.sections import ClusterSettings
from tests.cluster.diagnosis.recorded_api import recorded_api
from tests.cluster.diagnosis.recorded_snapshots import changed, recorded
from tests.fake_api import TOKEN


def test_its_defaults_are_what_the_program_makes() -> None:
    assert inference_service.NAME == INFERENCE_SERVICE
    assert ClusterSettings().namespace == NAMESPACE


def diagnose(
    recording: str, folder: Path, *options: str, secret: str = ""
) -> subprocess.CompletedProcess[str]:
    snapshot, _ = recorded(recording)
    pods = [
        {**pod, "spec": {**pod["spec"], "containers": [*pod["spec"]["containers"]]}}
        for pod in snapshot.all(Kind.PODS)
    ]
    for pod in pods:
        pod["spec"]["containers"][0] |= {"env": [{"name": "HF_TOKEN", "value": secret}]}
    with recorded_api(changed(snapshot, pods=pods)) as api:
        return subprocess.run(
            [
                *(str(Path(sys.executable).with_name("ft-serving")), "diagnose"),
                *("--namespace", snapshot.namespace, "--inference-service", snapshot.name),
                *options,
            ],
            env={**os.environ, "KUBECONFIG": str(api.kubeconfig(folder)), "COLUMNS": "60"},
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.mark.parametrize(
    ("recording", "code", "first"),
    [
        ("sound", 0, "gate-sound/sound  READY"),
        ("oom", 1, "gate-bad/oom  FAILED (memory)"),
        ("starting-loading", 3, "gate-sound/starting  ON ITS WAY"),
    ],
)
def test_the_exit_code_says_how_it_stands(
    recording: str, code: int, first: str, tmp_path: Path
) -> None:
    done = diagnose(recording, tmp_path)
    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[0] == first
    assert done.stderr == ""


def test_json_has_all_of_it_and_nothing_secret(tmp_path: Path) -> None:
    done = diagnose("gpu", tmp_path, "--json", secret="hf_neverShown")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert (document["standing"], document["cause"]) == ("failed", "unschedulable")
    assert document["pods"][0]["created"] == "2026-11-23T16:59:29+00:00"
    assert "nvidia.com/gpu" in document["reason"]
    assert "hf_neverShown" not in done.stdout
    assert TOKEN not in done.stdout


def test_a_cluster_that_cannot_be_asked_is_an_error(tmp_path: Path) -> None:
    done = diagnose("sound", tmp_path, "--context", "nosuch")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: No cluster can be asked")
