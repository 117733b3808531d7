"""`ft-serving weights …`, as people and the Job run it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from ft_serving.core.manifest import read_manifest
from ft_serving.core.storage import Storage
from local_platform.hub.server import HubServer
from tests.weights.models import CONFIG, random_checkpoint
from tests.weights.world import ft_serving

TINY = Path(__file__).parents[2] / "models" / "tiny-gptj"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return random_checkpoint(tmp_path / "model")


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    return tmp_path / "volume"


def releases(volume: Path) -> Iterator[Path]:
    store = volume / "triton-model-store"
    if store.exists():
        yield from (path for path in store.iterdir() if not path.name.startswith("."))


def prepare(volume: Path, *options: object) -> Path:
    done = ft_serving("prepare", "--storage", volume, *options)
    assert done.returncode == 0, done.stderr
    assert "convert" in done.stderr, "progress belongs to stderr"
    folder = Path(done.stdout.removesuffix("\n"))
    assert folder in list(releases(volume)), "stdout has the folder and nothing else"
    return folder


def test_every_option_reaches_the_release(model: Path, volume: Path) -> None:
    folder = prepare(
        *(volume, "--repository", model, "--dtype", "fp32"),
        *("--compute-dtype", "fp16", "--tensor-parallel", 4, "--pipeline-parallel", 2),
        *("--streaming", "--input-length", 1000, "--output-length", 500),
    )
    pbtxt = (folder / "fastertransformer/config.pbtxt").read_text()
    for setting in (
        'key: "data_type" value { string_value: "fp16" }',
        'key: "tensor_para_size" value { string_value: "4" }',
        'key: "pipeline_para_size" value { string_value: "2" }',
        "decoupled: true",
        'key: "context_length" value { string_value: "2048" }',
        'key: "input_length" value { string_value: "1000" }',
        'key: "output_length" value { string_value: "500" }',
    ):
        assert setting in pbtxt
    assert "weight_data_type = fp32" in (folder / "fastertransformer/1/config.ini").read_text()
    spec = read_manifest(prepare(volume, "--repository", model, "--dtype", "bf16")).spec
    assert (spec.dtype, spec.compute_dtype) == ("bf16", "bf16"), "stored and computed alike"


def test_tiny_gptj_for_vllm_is_prepared_verified_listed_and_pruned(volume: Path) -> None:
    release = prepare(volume, "--repository", TINY, "--format", "huggingface")
    folder = release / "fastertransformer" / "1"
    source, found = load_file(TINY / "model.safetensors"), load_file(folder / "model.safetensors")
    assert {n: v.astype("<f2").tolist() for n, v in source.items()} == {
        n: v.tolist() for n, v in found.items()
    }
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (folder / name).read_bytes() == (TINY / name).read_bytes()

    assert ft_serving("verify", "--full", release).returncode == 0
    heading, line = ft_serving("list", "--storage", volume).stdout.splitlines()
    assert heading.split() == ["RELEASE", "SIZE", "SOURCE", "CREATED", "STATE"]
    assert line.startswith("tiny-gptj-fp16-hf-")
    assert line.split()[0] == release.name, "scripts read whole names"
    assert line.split()[-1] == "valid"
    (folder / "tokenizer.json").write_bytes(b"{}")
    done = ft_serving("verify", release)
    assert done.returncode == 1
    assert "tokenizer.json: has 2 bytes, must have 31062" in done.stderr
    done = ft_serving("prune", "--storage", volume, "--newest", 0)
    name = release.name
    assert done.stdout == f"{name}: deleted\ncaches/{name}: deleted\n"
    assert not release.exists()


def test_a_download_serves_releases_of_both_formats(
    volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HubServer(TINY.parent) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        options = ("--repository", "tiny-gptj", "--revision", "main")
        prepare(volume, *options)
        release = prepare(volume, *options, "--format", "huggingface")
        named = {file.name for file in read_manifest(release).source}
        assert {"tokenizer.json", "tokenizer_config.json"} < named
        done = ft_serving("prepare", "--storage", volume, *options, "--drop-source")
    assert done.returncode == 0
    assert not list((volume / "models").rglob("*.json")), "what either format needed is dropped"
    assert len(list(releases(volume))) == 2


def test_verify_tells_a_sound_release_from_a_damaged_one(model: Path, volume: Path) -> None:
    release = prepare(volume, "--repository", model)
    for given in (release.name, release):
        assert ft_serving("verify", "--full", given, "--storage", volume).returncode == 0
        done = ft_serving("prune", "--storage", volume, "--keep", given)
        assert done.stdout == f"{release.name}: kept, named\n"
    damaged = release / "fastertransformer/1/model.wte.bin"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert ft_serving("verify", release).returncode == 0
    full = ft_serving("verify", "--full", release)
    assert full.returncode == 1
    assert "model.wte.bin: has sha256" in full.stderr


def test_verify_tells_that_a_release_was_moved(model: Path, volume: Path) -> None:
    prepare(volume, "--repository", model)
    elsewhere = volume.rename(volume.with_name("elsewhere"))
    (release,) = releases(elsewhere)
    for options in ((), ("--full",)):
        done = ft_serving("verify", release, *options)
        assert done.returncode == 1
        assert f"config.pbtxt: is for another folder than {release}: moved" in done.stderr
        assert f"{release} is whole" in done.stderr
    done = ft_serving("prune", "--storage", elsewhere, "--newest", 1)
    assert "kept, among the newest" in done.stdout, "whose volume is mounted elsewhere may prune"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{model}",), "Name the folder below triton-model-store"),
        (("a-name",), "add --storage to give a release's name"),
        (("other", "--storage", "{model}"), "model: has no release other"),
    ],
)
def test_verify_of_what_is_no_release_says_what_to_name(
    model: Path, arguments: tuple[str, ...], message: str
) -> None:
    done = ft_serving("verify", *(argument.format(model=model) for argument in arguments))
    assert done.returncode == 1
    assert message in done.stderr


def test_list_writes_nothing(model: Path, volume: Path) -> None:
    def tree() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (model, *model.parent.rglob("*"))}

    before = tree()
    assert "No releases" in ft_serving("list", "--storage", model).stdout
    assert ft_serving("prune", "--storage", model, "--newest", 1).stdout == ""
    assert tree() == before, "a storage that is none is not made one"
    release = prepare(volume, "--repository", model)
    (volume / "triton-model-store" / "my-bert").mkdir()
    with Storage(volume).lease(release.name):
        # A file that came and went shows in its folder's time; the lease's own time is a heartbeat.
        before = {path: time for path, time in tree().items() if path.is_dir()}
        *_, line, others = ft_serving("list", "--storage", volume).stdout.splitlines()
        assert {path: time for path, time in tree().items() if path.is_dir()} == before
    assert "in use by process" in line
    assert others == "Not made by ft-serving, never deleted: my-bert."


def test_prune_wants_to_know_what_to_keep(model: Path, volume: Path) -> None:
    prepare(volume, "--repository", model)
    assert ft_serving("prune", "--storage", volume).returncode == 2, "who deletes must not guess"
    assert len(list(releases(volume))) == 1
    done = ft_serving("prune", "--storage", volume, "--newest", 0)
    assert done.returncode == 0
    assert done.stdout.endswith(": deleted\n")
    assert list(releases(volume)) == []


@pytest.mark.parametrize(
    ("code", "arguments", "message"),
    [
        (2, ("{model}", "--revision", "main"), "has no revisions"),
        (2, ("{model}", "--drop-source"), "is no download"),
        (2, ("owner/model",), "give --revision"),
        (2, ("{model}", "--dtype", "int8"), "'int8' is not one of"),
        (2, ("{model}", "--format", "huggingface", "--tensor-parallel", "2"), "any number of GPUs"),
        (2, ("{model}/link",), "model/link is a link to /missing, which is no folder"),
        (1, ("{model}", "--tensor-parallel", "3"), "use 1, 2 or 4"),
        *(
            (1, (name, "--revision", "a" * 40), "neither a folder here nor a repository's name")
            for name in ("../outside", "a/b/c", "a/..", "/absolute/missing")
        ),
    ],
)
def test_a_mistake_is_told_in_one_message(
    model: Path, volume: Path, code: int, arguments: tuple[str, ...], message: str
) -> None:
    (model / "link").symlink_to("/missing")
    filled = [argument.format(model=model) for argument in arguments]
    done = ft_serving("prepare", "--storage", volume, "--repository", *filled)
    assert done.returncode == code
    assert message in done.stderr
    assert done.stdout == ""


INTERRUPTED = """
import os, signal, sys
from ft_serving import cli
# The first flush comes when the tensors are written.
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGTERM)
sys.argv[1:] = {arguments}
cli.main()
"""


def test_sigterm_cleans_up_and_exits_with_143(model: Path, volume: Path) -> None:
    arguments = ["weights", "prepare", "--repository", str(model), "--storage", str(volume)]
    command = [sys.executable, "-c", INTERRUPTED.format(arguments=arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 143, done.stderr
    assert "convert" in done.stderr
    assert list((volume / "triton-model-store").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["fastertransformer", "huggingface"])
def test_a_kill_at_any_change_of_the_volume_leaves_nothing_that_looks_valid(
    tmp_path: Path, volume: Path, format_: str
) -> None:
    model = random_checkpoint(tmp_path / "tiny", {**CONFIG, "n_layer": 1})
    kills, unfinished, kept = killed(volume, format_, model, 4)
    assert kills > 15
    assert unfinished > 12, "the kills must hit the conversion"
    assert bool(kept) is (format_ == "huggingface"), "finished shards are kept"


@pytest.mark.slow
def test_a_kill_during_a_download_costs_time_and_nothing_else(tmp_path: Path, volume: Path) -> None:
    random_checkpoint(tmp_path / "models" / "tiny", {**CONFIG, "n_layer": 1})
    with HubServer(tmp_path / "models") as server:
        kills, unfinished, _ = killed(volume, "fastertransformer", server.url, 9)
    assert kills > unfinished > 4, "some kills hit the download, some the conversion"


def killed(volume: Path, format_: str, source: object, step: int) -> list[int]:
    """Kill a preparation at every so many of its changes, each time in an empty volume.

    Returns:
        The number of kills, of those that left an unfinished release, and of those that left
        finished shards; the process has checked what they left, and finished it.
    """
    arguments = map(str, (volume, format_, source, step))
    command = [sys.executable, "-m", "tests.weights.killing", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split()]


# In a mount namespace of its own, so that the volume goes when the process ends.
IN_A_SMALL_VOLUME = """
import json, subprocess, sys
from pathlib import Path
from ft_serving.core.storage import Storage
from tests.weights.world import ft_serving

model, volume = map(Path, sys.argv[1:])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", volume], check=True)
prepare = ("prepare", "--repository", model, "--storage", volume)
fill = f"head -c $(($(df --output=avail -B1 {volume} | tail -1) - $1)) /dev/zero >> {volume}/filler"
weights = lambda: sorted(str(path) for path in volume.rglob("*.bin"))

def run(*arguments):
    before = weights()
    done = ft_serving(*arguments)
    print(json.dumps([done.returncode, done.stdout, done.stderr, weights() == before]))

run(*prepare)
subprocess.run(["sh", "-c", fill, "sh", str(512 << 10)], check=True)
run(*prepare, "--dtype", "fp32")
Storage.free_bytes = lambda _: 1 << 40
run(*prepare, "--dtype", "fp32")
subprocess.run(["sh", "-c", fill, "sh", "0"])
run(*prepare, "--streaming")
run("prune", "--storage", volume, "--newest", "0")
"""


def test_a_full_volume_is_told_without_half_a_release_and_emptied_by_prune(
    model: Path, volume: Path
) -> None:
    volume.mkdir()
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c", IN_A_SMALL_VOLUME]
    done = subprocess.run([*command, model, volume], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made, too_small, filled, full, pruned = map(json.loads, done.stdout.splitlines())
    assert made[0] == 0
    for told, message in (
        (too_small, "free, and 17"),
        (filled, "is full; "),
        (full, "is full; "),
    ):
        code, _, said, is_as_before = told
        assert code == 1
        assert message in said
        assert is_as_before, "half a release is given back"
    assert pruned[0] == 0
    assert pruned[1].endswith(": deleted\n"), "a message that says to prune must not lie"
