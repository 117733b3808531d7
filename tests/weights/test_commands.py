"""`ft-serving weights …`, as people and the Job run it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ft_serving.core.manifest import MANIFEST_PATH, read_manifest
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_sizes
from tests.weights.models import CONFIG, random_checkpoint

LARGER = {**CONFIG, "n_embd": 1024, "n_head": 16, "n_layer": 12, "vocab_size": 4096}
"""A model that takes about a second to convert."""


def command(*arguments: object) -> list[str]:
    return [str(Path(sys.executable).with_name("ft-serving")), "weights", *map(str, arguments)]


def ft_serving(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


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


def test_prepare_prints_the_releases_folder_and_nothing_else(model: Path, volume: Path) -> None:
    done = ft_serving("prepare", "--repository", model, "--storage", volume, "--dtype", "bf16")
    assert done.returncode == 0, done.stderr
    assert [done.stdout.rstrip("\n")] == list(map(str, releases(volume)))
    assert "convert" in done.stderr, "progress belongs to stderr"
    spec = read_manifest(Path(done.stdout.strip())).spec
    assert (spec.dtype, spec.compute_dtype) == ("bf16", "bf16")


def test_every_option_reaches_the_release(model: Path, volume: Path) -> None:
    done = ft_serving(
        *("prepare", "--repository", model, "--storage", volume, "--dtype", "fp32"),
        *("--compute-dtype", "fp16", "--tensor-parallel", 4, "--pipeline-parallel", 2),
        *("--streaming", "--input-length", 1000, "--output-length", 500),
    )
    folder = Path(done.stdout.strip())
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


def test_verify_tells_a_sound_release_from_a_damaged_one(model: Path, volume: Path) -> None:
    ft_serving("prepare", "--repository", model, "--storage", volume)
    (release,) = releases(volume)
    assert ft_serving("verify", release).returncode == 0
    assert ft_serving("verify", "--full", release).returncode == 0
    damaged = release / "fastertransformer/1/model.wte.bin"
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert ft_serving("verify", release).returncode == 0
    full = ft_serving("verify", "--full", release)
    assert full.returncode == 1
    assert "model.wte.bin: has sha256" in full.stderr


def test_verify_tells_that_a_release_was_moved(model: Path, volume: Path) -> None:
    ft_serving("prepare", "--repository", model, "--storage", volume)
    elsewhere = volume.rename(volume.with_name("elsewhere"))
    (release,) = releases(elsewhere)
    for options in ((), ("--full",)):
        done = ft_serving("verify", release, *options)
        assert done.returncode == 1
        assert f"config.pbtxt: is for another folder than {release}: moved" in done.stderr
        assert f"{release} is whole" in done.stderr
        assert "damaged" not in done.stderr
    done = ft_serving("prune", "--storage", elsewhere, "--newest", 1)
    assert "kept, among the newest" in done.stdout, "whose volume is mounted elsewhere may prune"


def test_verify_of_a_folder_that_is_no_release_says_what_to_name(tmp_path: Path) -> None:
    done = ft_serving("verify", tmp_path)
    assert done.returncode == 1
    assert "Name the folder below triton-model-store" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_release_may_be_given_by_name_or_path(model: Path, volume: Path) -> None:
    printed = ft_serving("prepare", "--repository", model, "--storage", volume).stdout.strip()
    name = Path(printed).name
    for release in (name, printed):
        assert ft_serving("verify", release, "--storage", volume).returncode == 0
        done = ft_serving("prune", "--storage", volume, "--keep", release)
        assert done.stdout == f"{name}: kept, named\n"
    done = ft_serving("verify", name)
    assert done.returncode == 1
    assert "add --storage to give a release's name" in done.stderr
    done = ft_serving("verify", "other", "--storage", volume)
    assert done.returncode == 1
    assert f"{volume}: has no release other" in done.stderr


def test_list_writes_nothing(model: Path, volume: Path) -> None:
    def tree() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in (model, *model.parent.rglob("*"))}

    before = tree()
    assert "No releases" in ft_serving("list", "--storage", model).stdout
    assert ft_serving("prune", "--storage", model, "--newest", 1).stdout == ""
    assert tree() == before, "a storage that is none is not made one"
    ft_serving("prepare", "--repository", model, "--storage", volume)
    (release,) = releases(volume)
    with Storage(volume).lease(release.name):
        # A file that came and went shows in its folder's time; the lease's own time is a heartbeat.
        before = {path: time for path, time in tree().items() if path.is_dir()}
        assert "in use by process" in ft_serving("list", "--storage", volume).stdout
        assert {path: time for path, time in tree().items() if path.is_dir()} == before


def test_list_names_what_is_no_release(model: Path, volume: Path) -> None:
    ft_serving("prepare", "--repository", model, "--storage", volume)
    (volume / "triton-model-store" / "my-bert").mkdir()
    *_, line = ft_serving("list", "--storage", volume).stdout.splitlines()
    assert line == "Not made by ft-serving, never deleted: my-bert."


def test_list_shows_whole_names_to_scripts(model: Path, volume: Path) -> None:
    assert "No releases" in ft_serving("list", "--storage", model).stdout
    ft_serving("prepare", "--repository", model, "--storage", volume)
    (release,) = releases(volume)
    heading, line = ft_serving("list", "--storage", volume).stdout.splitlines()
    assert heading.split() == ["RELEASE", "SIZE", "SOURCE", "CREATED", "STATE"]
    assert line.split()[0] == release.name
    assert line.split()[-1] == "valid"


def test_prune_wants_to_know_what_to_keep(model: Path, volume: Path) -> None:
    ft_serving("prepare", "--repository", model, "--storage", volume)
    done = ft_serving("prune", "--storage", volume)
    assert done.returncode == 2, "a command that deletes must not guess"
    assert len(list(releases(volume))) == 1
    done = ft_serving("prune", "--storage", volume, "--newest", 0)
    assert done.returncode == 0
    assert done.stdout.endswith(": deleted\n")
    assert list(releases(volume)) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--repository", "{model}", "--revision", "main"), "has no revisions"),
        (("--repository", "{model}", "--drop-source"), "is no download"),
        (("--repository", "owner/model"), "give --revision"),
        (("--repository", "{model}", "--dtype", "int8"), "'int8' is not one of"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(
    model: Path, volume: Path, arguments: tuple[str, ...], message: str
) -> None:
    filled = [argument.format(model=model) for argument in arguments]
    done = ft_serving("prepare", "--storage", volume, *filled, COLUMNS="250")
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.parametrize("name", ["../outside", "a/b/c", "a/..", "", "/absolute/missing"])
def test_a_repositorys_name_cannot_lead_out_of_the_storage(volume: Path, name: str) -> None:
    done = ft_serving("prepare", "--storage", volume, "--repository", name, "--revision", "a" * 40)
    assert done.returncode == 1 if name else 2
    assert "Traceback" not in done.stderr


def test_an_error_is_one_message_with_exit_code_1(model: Path, volume: Path) -> None:
    done = ft_serving("prepare", "--repository", model, "--storage", volume, "--tensor-parallel", 3)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "use 1, 2 or 4" in done.stderr
    assert "Traceback" not in done.stderr


def test_sigterm_cleans_up_and_exits_with_143(tmp_path: Path, volume: Path) -> None:
    model = random_checkpoint(tmp_path / "larger", LARGER)
    process = subprocess.Popen(
        command("prepare", "--repository", model, "--storage", volume), stderr=subprocess.PIPE
    )
    wait_for_staging(volume)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert list((volume / "triton-model-store").iterdir()) == []


def wait_for_staging(volume: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if list(volume.glob("triton-model-store/.staging-*/fastertransformer/1/*.bin")):
            return
        time.sleep(0.005)
    raise AssertionError("the conversion never began")


def test_two_processes_at_once_make_one_release(tmp_path: Path, volume: Path) -> None:
    model = random_checkpoint(tmp_path / "larger", LARGER)
    arguments = command("prepare", "--repository", model, "--storage", volume)
    first = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_staging(volume)
    first.send_signal(signal.SIGSTOP)
    second = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert second.stderr
    said = ""
    while "Waiting" not in said:
        line = second.stderr.readline()
        assert line, f"the second process must wait, and say so; it said: {said}"
        said += line
    first.send_signal(signal.SIGCONT)
    outputs = [process.communicate() for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0), outputs
    assert outputs[0][0] == outputs[1][0], "both must print the same release"
    assert f"Waiting for process {first.pid} on " in said
    assert "was there and is valid" in outputs[1][1]


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_nothing_that_looks_valid(tmp_path: Path, volume: Path) -> None:
    model = random_checkpoint(tmp_path / "larger", LARGER)
    arguments = command("prepare", "--repository", model, "--storage", volume)

    def timed() -> float:
        began = time.monotonic()
        subprocess.run(arguments, capture_output=True, check=True)
        return time.monotonic() - began

    timed()
    (release,) = releases(volume)
    # Half of it is the interpreter's start, in which a kill hits nothing.
    start = timed() / 2
    (release / MANIFEST_PATH).unlink()
    whole = timed()
    moments = 20
    unfinished = 0
    for moment in range(moments):
        # Each run begins with a release whose manifest is gone, or with what the last one left.
        if release.exists():
            (release / MANIFEST_PATH).unlink(missing_ok=True)
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(start + (whole - start) * moment / moments)
        process.kill()
        process.wait()
        for found in releases(volume):
            if (found / MANIFEST_PATH).exists():
                assert check_sizes(found) == [], "a manifest must mean a whole release"
        unfinished += bool(list((volume / "triton-model-store").glob(".staging-*")))
    assert unfinished > moments / 5, "the kills must hit the conversion, or they prove nothing"
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert ft_serving("verify", "--full", done.stdout.strip()).returncode == 0
    store = [path.name for path in (volume / "triton-model-store").iterdir()]
    assert store == [release.name], "leftovers must go with the next success"


IN_A_SMALL_VOLUME = """
set -e
mount -t tmpfs -o size={size} tmpfs {volume}
set +e
{command}
echo "exit $?"
find {volume} -name '*.bin' -o -name manifest.json
df --output=used -B1 {volume} | tail -1
"""

LIE = """
import sys
from ft_serving.core.storage import Storage
Storage.free_bytes = lambda self: 1 << 40
from ft_serving.cli import main
sys.argv[1:] = {arguments}
main()
"""


def in_a_small_volume(volume: Path, size: str, shell: str) -> subprocess.CompletedProcess[str]:
    volume.mkdir()
    script = IN_A_SMALL_VOLUME.format(size=size, volume=volume, command=shell)
    # In a mount namespace of its own, so that the volume goes when the process ends.
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c", script]
    return subprocess.run(unshare, capture_output=True, text=True, check=True)


def test_a_volume_that_is_too_small_is_told_before_anything_is_written(
    model: Path, volume: Path
) -> None:
    arguments = command("prepare", "--repository", model, "--storage", volume)
    done = in_a_small_volume(volume, "1m", " ".join(arguments))
    assert done.stdout.startswith("exit 1\n"), done.stderr
    assert re.search(r"has 1\d\d\d KiB free, but 16\.8 MiB are needed", done.stderr), done.stderr
    assert "Traceback" not in done.stderr


def test_a_volume_that_fills_on_the_way_leaves_no_half_release(model: Path, volume: Path) -> None:
    arguments = ["weights", "prepare", "--repository", str(model), "--storage", str(volume)]
    script = LIE.format(arguments=json.dumps(arguments)).replace("'", '"')
    done = in_a_small_volume(volume, "512k", f"{sys.executable} -c '{script}'")
    exit_line, *found, used = done.stdout.splitlines()
    assert exit_line == "exit 1", done.stderr
    assert "is full" in done.stderr
    assert found == [], "what was written must be given back"
    assert int(used) < 200_000


def test_a_full_volume_is_told_by_prepare_and_emptied_by_prune(model: Path, volume: Path) -> None:
    prepare = " ".join(command("prepare", "--repository", model, "--storage", volume))
    prune = " ".join(command("prune", "--storage", volume, "--newest", 0))
    fill = f"dd if=/dev/zero of={volume}/filler bs=4k"
    done = in_a_small_volume(
        volume, "20m", f"{prepare}; {fill}; {prepare} --streaming; echo prepared $?; {prune}"
    )
    assert "Traceback" not in done.stderr
    assert f"{volume}: is full, 0 B are left" in done.stderr
    _, prepared, pruned, exit_line, *found, _ = done.stdout.splitlines()
    assert prepared == "prepared 1"
    assert pruned.endswith(": deleted"), "a message that says to prune must not lie"
    assert (exit_line, found) == ("exit 0", [])
