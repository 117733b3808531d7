"""`ft-serving serve`, as people run it."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tritonclient.grpc
from tritonclient.utils import InferenceServerException

from ft_serving.core.errors import FtServingError
from ft_serving.core.manifest import CONFIG_PBTXT_PATH, WEIGHTS_PATH
from ft_serving.core.storage import Storage
from ft_serving.server.errors import ServerError
from ft_serving.server.installation import find_installation
from ft_serving.server.process import Ports, TritonProcess
from ft_serving.server.serve import choose_release, serve
from tests.server.backend.asking import (
    MODEL,
    UNSIGNED,
    ask_grpc,
    ask_http,
    endless,
    generated,
    inputs,
    question,
    wait_until_idle,
)
from tests.serving import (
    GOLDEN,
    Served,
    free_ports,
    ft_serving,
    prepare,
    served,
)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with one release, which is no longer where it was prepared."""
    root = tmp_path_factory.mktemp("volume")
    prepare(root)
    return root.rename(root.with_name("remounted"))


@pytest.fixture
def storage(volume: Path, tmp_path: Path) -> Path:
    """A copy of the releases only, which a test may damage."""
    shutil.copytree(Storage(volume).releases, Storage(tmp_path).releases)
    return tmp_path


@pytest.fixture(scope="module")
def remounted(volume: Path) -> Iterator[Served]:
    with served(volume, only_release(volume)) as server:
        yield server


def only_release(storage: Path) -> str:
    (name,) = Storage(storage).release_names()
    return name


def config_of(storage: Path, release: str) -> Path:
    return Storage(storage).release(release) / CONFIG_PBTXT_PATH


def shared_memory(server: Served) -> list[Path]:
    """The files by which Triton and its backend share memory, which have to go with them."""
    family = server.process.children(recursive=True)
    mapped = [file.path for one in family for file in one.memory_maps()]
    return [Path(path) for path in mapped if "/shm/triton" in path]


def ask_later(server: Served) -> tuple[threading.Thread, list[Any]]:
    """Ask for long texts in a thread; wait until they are under way."""
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(ask_grpc(server.grpc, endless(rows=16)))
    )
    thread.start()
    wait_until_idle(server.metrics, running=1)
    assert not answers, "too short for this test"
    return thread, answers


def test_a_release_serves_wherever_its_storage_is_mounted(remounted: Served, volume: Path) -> None:
    assert str(volume) not in config_of(volume, only_release(volume)).read_text()
    assert generated(ask_http(remounted.http, question())) == GOLDEN["output_ids"]
    wait_until_idle(remounted.metrics)


def test_a_client_cannot_name_memory_to_read_and_write(remounted: Served) -> None:
    register = {"key": "/anything", "offset": 0, "byte_size": 1024}
    with closing(http.client.HTTPConnection(remounted.http, timeout=10)) as connection:
        for kind in ("system", "cuda"):
            path = f"/v2/{kind}sharedmemory/region/x/register"
            connection.request("POST", path, json.dumps(register))
            response = connection.getresponse()
            assert (response.status, b"restricted" in response.read()) == (403, True)
    with (
        tritonclient.grpc.InferenceServerClient(remounted.grpc) as client,
        pytest.raises(InferenceServerException, match="This protocol is restricted"),
    ):
        client.register_system_shared_memory("x", "/anything", 1024)
    for ask, address in ((ask_http, remounted.http), (ask_grpc, remounted.grpc)):
        assert generated(ask(address, question())) == GOLDEN["output_ids"]


def test_it_says_where_it_is_and_what_to_type_next(remounted: Served, volume: Path) -> None:
    serving, try_it, stop_it = remounted.greeting
    assert serving == (
        f"Serving {only_release(volume)} on http://{remounted.http} and grpc {remounted.grpc}"
    )
    assert stop_it == "Stop it: Ctrl-C"
    prefix, command = try_it.split(": ", 1)
    assert prefix == "Try it"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert '"sequence_length":11' in done.stdout, "the example works as it is printed"
    assert remounted.errors.read_text() == ""


def test_the_release_is_in_use_while_it_is_served(remounted: Served, volume: Path) -> None:
    name, process = only_release(volume), remounted.process.pid
    assert Storage(volume).users(name) == [f"process {process} on {socket.gethostname()}"]
    pruned = ft_serving("weights", "prune", "--storage", str(volume), "--newest", "0")
    assert f"{name}: kept, in use by process {process}" in pruned.stdout


@pytest.mark.slow
def test_requests_under_way_are_finished_before_it_ends(storage: Path) -> None:
    with served(storage, only_release(storage)) as server:
        with closing(http.client.HTTPConnection(server.http, timeout=10)) as kept:
            kept.request("GET", "/v2/health/ready")
            kept.getresponse().read()
            thread, answers = ask_later(server)
            shared = shared_memory(server)
            assert shared
            server.process.send_signal(signal.SIGTERM)
            # For a connection that a client keeps open, Triton itself waits a minute, and fails.
            assert server.process.wait(30) == 0
            thread.join(10)
        assert (server.process.stdout.read(), server.errors.read_text()) == ("", "")
    assert Storage(storage).users(only_release(storage)) == []
    assert answers[0]["sequence_length"].tolist() == [[506]] * 16
    assert not any(file.exists() for file in shared)


@pytest.mark.slow
def test_told_twice_it_ends_at_once(storage: Path) -> None:
    with served(storage, only_release(storage)) as server:
        with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
            long = inputs(tritonclient.grpc, endless(rows=400), UNSIGNED)
            client.async_infer(MODEL, long, lambda result, error: None)
            wait_until_idle(server.metrics, running=1)
            family = server.process.children(recursive=True)
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert server.process.poll() is None
            server.process.send_signal(signal.SIGINT)
            assert server.process.wait(10) == 1
        _, alive = psutil.wait_procs(family, timeout=5)
        assert alive == [], "the process in the middle of the text, too"
        assert server.errors.read_text() == (
            "Error: Triton was killed; requests under way have no answer\n"
        )


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["ft-serving", "triton_python_backend_stub"])
def test_nothing_is_left_when_a_part_is_killed(storage: Path, victim: str) -> None:
    with served(storage, only_release(storage)) as server:
        family = server.process.children(recursive=True)
        parts = {one.name(): one for one in (server.process, *family)}
        assert {"tritonserver", "sh"} < parts.keys()
        stub = next(one for name, one in parts.items() if name.startswith("triton_python"))
        shared = shared_memory(server)
        assert shared
        (server.process if victim == "ft-serving" else stub).kill()
        _, alive = psutil.wait_procs([server.process, *family], timeout=20)
        assert alive == []
        assert not any(file.exists() for file in shared)
        if victim != "ft-serving":
            assert server.process.returncode == 1
            assert "the process that ran the model was killed" in server.errors.read_text()


@pytest.mark.parametrize("by", ["ft-serving", "Triton"])
def test_damaged_weights_are_not_served(storage: Path, by: str) -> None:
    name = only_release(storage)
    folder = Storage(storage).release(name)
    os.truncate(folder / WEIGHTS_PATH / "model.wte.bin", 524_284)
    with pytest.raises(FtServingError) as caught:
        if by == "Triton":
            with start(folder, free_ports(3)) as triton:
                triton.wait_until_ready()
        else:
            serve_here(storage, name, free_ports(3))
    assert str(caught.value).removeprefix("Triton ended with exit code 1: ") == (
        f"{folder} is damaged:\n"
        "  fastertransformer/1/model.wte.bin: has 524284 bytes, must have 524288"
    )


@pytest.mark.slow
def test_what_shared_memory_has_no_room_for_is_an_error(storage: Path) -> None:
    mount = 'mount -t tmpfs -o size=12m tmpfs /dev/shm && exec "$@"'
    wrapper = ["unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh"]
    rows = 1000
    large = {
        "input_ids": np.ones((rows, 1)),
        "input_lengths": np.ones((rows, 1)),
        "request_output_len": np.ones((rows, 1)),
        "bad_words_list": np.ones((rows, 2, 1500)),
    }
    with served(storage, only_release(storage), wrapper) as server:
        for ask, address in ((ask_http, server.http), (ask_grpc, server.grpc)):
            with pytest.raises(InferenceServerException, match="shared memory pool size"):
                ask(address, large)
            assert generated(ask(address, question(3))) == GOLDEN["output_ids"][:3]


@pytest.mark.slow
def test_a_configuration_with_signed_integers_is_served(storage: Path, tmp_path: Path) -> None:
    release = only_release(storage)
    model = tmp_path / "elsewhere" / MODEL
    (model / "1").mkdir(parents=True)
    text = config_of(storage, release).read_text().replace("UINT32", "INT32")
    place = 'key: "model_checkpoint_path" value { string_value: '
    start_of_path = text.index(place) + len(place)
    end_of_path = text.index("}", start_of_path)
    weights = Storage(storage).release(release) / WEIGHTS_PATH
    text = f'{text[:start_of_path]}"{weights}" {text[end_of_path:]}'
    (model / "config.pbtxt").write_text(text)
    port, _, _ = ports = free_ports(3)
    types = {name: "INT32" if kind == "UINT32" else kind for name, kind in UNSIGNED.items()}
    with start(model.parent, ports) as triton:
        assert triton.wait_until_ready()
        answer = ask_http(f"127.0.0.1:{port}", question(), types)
        assert generated(answer) == GOLDEN["output_ids"]
        assert str(answer["output_ids"].dtype) == str(answer["sequence_length"].dtype) == "int32"


def test_a_taken_port_is_named_before_anything_is_started(storage: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        http = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"{http}: Address already in use; name another with"):
            serve_here(storage, only_release(storage), [http, *free_ports(2)])


def test_the_only_release_needs_no_name_and_any_may_be_named_by_a_path(
    storage: Path, tmp_path: Path
) -> None:
    name = only_release(storage)
    assert choose_release(Storage(storage), None) == name
    folder = Storage(storage).release(name)
    (tmp_path / "short").symlink_to(folder)
    for path in (folder, folder / "fastertransformer" / "..", tmp_path / "short"):
        assert choose_release(Storage(storage), str(path)) == name


def test_several_releases_and_none_are_told(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    with pytest.raises(ServerError, match="has no release; `ft-serving weights prepare` makes one"):
        choose_release(storage, None)
    storage.create()
    for name in ("b-1", "a-2"):
        storage.staging(name).rename(storage.release(name))
    storage.release("my-bert").mkdir()
    assert choose_release(storage, "b-1") == "b-1"
    with pytest.raises(ServerError) as caught:
        choose_release(storage, None)
    assert str(caught.value) == (
        f"{tmp_path}: has several releases; name one with --release:\n  a-2\n  b-1"
    )
    with pytest.raises(ServerError, match=r"has no release c-3, only:\n  a-2\n  b-1"):
        choose_release(storage, "c-3")


def test_wrong_usage_and_errors_have_their_exit_codes(tmp_path: Path) -> None:
    assert ft_serving("serve", "--storage", ".", "--http-port", "0").returncode == 2
    done = ft_serving("serve", "--storage", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {tmp_path}: has no release")


def serve_here(storage: Path, release: str, ports: list[int]) -> None:
    http, grpc, metrics = ports
    serve(storage, release, Ports(http=http, grpc=grpc, metrics=metrics), verbose=False, say=print)


def start(repository: Path, ports: list[int]) -> TritonProcess:
    http, grpc, metrics = ports
    return TritonProcess(
        repository,
        Ports(http=http, grpc=grpc, metrics=metrics),
        find_installation(),
        verbose=False,
    )
