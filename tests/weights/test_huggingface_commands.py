"""`ft-serving weights … --format huggingface`, as people and the Job run it."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from ft_serving.core.arrays import AnyArray
from ft_serving.core.manifest import read_manifest
from local_platform.hub.server import HubServer
from tests.weights.models import random_checkpoint
from tests.weights.test_commands import LARGER, ft_serving, releases

MODELS = Path(__file__).parents[2] / "models"
TINY = MODELS / "tiny-gptj"

# The command with shards so small that a kill finds some of them finished.
SMALL_SHARDS = """
import sys
from ft_serving.weights import shards
shards.SHARD_BYTES = 16 << 20
from ft_serving.cli import main
sys.argv[1:] = {arguments}
main()
"""


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "volume"


def prepare(volume: Path, *options: object) -> Path:
    done = ft_serving("prepare", "--storage", volume, "--format", "huggingface", *options)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def test_tiny_gptj_is_prepared_verified_listed_and_pruned(volume: Path) -> None:
    release = prepare(volume, "--repository", TINY)
    folder = release / "fastertransformer" / "1"
    source, found = load_file(TINY / "model.safetensors"), load_file(folder / "model.safetensors")
    assert found.keys() == source.keys()
    for name, values in source.items():
        assert np.array_equal(found[name], values.astype(np.float16)), name
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (TINY / name).read_bytes()
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == "float16"

    assert ft_serving("verify", "--full", release).returncode == 0
    _, line = ft_serving("list", "--storage", volume).stdout.splitlines()
    assert line.startswith("tiny-gptj-fp16-hf-")
    assert line.split()[-1] == "valid"
    (folder / "tokenizer.json").write_bytes(b"{}")
    done = ft_serving("verify", release)
    assert done.returncode == 1
    assert "tokenizer.json: has 2 bytes, must have 31062" in done.stderr
    done = ft_serving("prune", "--storage", volume, "--newest", 0)
    name = release.name
    assert done.stdout == f"{name}: deleted\ncaches/{name}: deleted\n"
    assert not release.exists()


def test_the_number_of_gpus_is_no_setting_of_such_a_release(volume: Path) -> None:
    for option in ("--tensor-parallel", "--pipeline-parallel"):
        done = ft_serving(
            *("prepare", "--storage", volume, "--format", "huggingface"),
            *("--repository", TINY, option, 2),
            COLUMNS="250",
        )
        assert done.returncode == 2
        assert "makes one release for any number of GPUs" in done.stderr
    assert not volume.exists()


def test_a_download_serves_releases_of_both_formats(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer(MODELS) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        options = ("--repository", "tiny-gptj", "--revision", "main")
        for dtype in ("fp32", "fp16"):
            done = ft_serving("prepare", "--storage", volume, *options, "--dtype", dtype)
            assert done.returncode == 0, done.stderr
            release = prepare(volume, *options, "--dtype", dtype)
            named = {file.name for file in read_manifest(release).source}
            assert {"tokenizer.json", "tokenizer_config.json"} < named
        done = ft_serving("prepare", "--storage", volume, *options, "--drop-source")
    assert done.returncode == 0
    assert not list((volume / "models").rglob("*.json")), "what either format needed is dropped"
    assert len(list(releases(volume))) == 4


def test_a_killed_conversion_goes_on_after_the_shards_that_it_finished(
    tmp_path: Path, volume: Path
) -> None:
    model = random_checkpoint(tmp_path / "larger", LARGER)
    arguments = ["weights", "prepare", "--repository", str(model), "--storage", str(volume)]
    script = SMALL_SHARDS.format(arguments=[*arguments, "--format", "huggingface"])
    command = [sys.executable, "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    store = volume / "triton-model-store"
    deadline = time.monotonic() + 60
    while len(list(store.glob(".staging-*/fastertransformer/1/*.safetensors"))) < 3:
        assert time.monotonic() < deadline, "no shard was finished"
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert list(releases(volume)) == [], "what was killed on the way must not look valid"
    finished = sorted(store.glob(".staging-*/fastertransformer/1/*.safetensors"))
    sound = finished[0].stat().st_ino
    with finished[1].open("ab") as file:
        file.write(b"more")

    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    release = Path(done.stdout.strip())
    assert (release / "fastertransformer/1" / finished[0].name).stat().st_ino == sound
    assert "were there" in done.stderr
    assert [path.name for path in store.iterdir()] == [release.name]
    assert ft_serving("verify", "--full", release).returncode == 0
    found: dict[str, AnyArray] = {}
    for shard in (release / "fastertransformer/1").glob("*.safetensors"):
        found |= load_file(shard)
    source = load_file(model / "model.safetensors")
    assert found.keys() == source.keys()
    for name, values in source.items():
        assert np.array_equal(found[name], values.astype(np.float16)), name
