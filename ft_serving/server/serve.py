"""Serves a release of a storage until told to stop."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from ft_serving.core.manifest import WEIGHTS_PATH, read_manifest
from ft_serving.core.protocol import MODEL_NAME
from ft_serving.core.release import ReleaseSpec
from ft_serving.core.storage import Storage
from ft_serving.core.verify import check_sizes, refuse_damage
from ft_serving.server.errors import ServerError
from ft_serving.server.installation import find_installation
from ft_serving.server.openai_process import OpenAIProcess
from ft_serving.server.process import ADDRESS, Ports, TritonProcess

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_EXAMPLE = '{"input_ids": [1, 2, 3], "input_lengths": 3, "request_output_len": 8}'


def serve(
    root: Path, release: str | None, ports: Ports, *, verbose: bool, say: Callable[[str], None]
) -> None:
    """Serve a release until this process gets SIGINT or SIGTERM, and requests are answered.

    The release counts as in use meanwhile, so that nobody prunes it; on a read-only storage nobody
    can from here.

    Args:
        root: The storage's folder.
        release: Name or path of the release; may be None where there is only one.
        ports: Of 127.0.0.1; with one for the OpenAI API that is served, too.
        verbose: Whether to pass on all that Triton writes.
        say: Gets lines for the user once the server is ready.

    Raises:
        ServerError: There is no such release, none, or several to choose from; a port is taken; or
            Triton is not installed, did not start, or it or the OpenAI API ended by itself.
        ReleaseError: The release is damaged.
    """
    storage = Storage(root)
    name = choose_release(storage, release)
    with storage.lease(name) if os.access(root, os.W_OK) else nullcontext():
        folder = storage.release(name)
        # The server checks contents as it loads them.
        refuse_damage(folder, check_sizes(folder))
        manifest = read_manifest(folder)
        installation = find_installation()
        ports.check()
        with (
            TritonProcess(folder, ports, installation, verbose=verbose) as triton,
            _on_stop_signals(triton.stop),
        ):
            if triton.wait_until_ready():
                with _openai(ports, manifest.spec.repository, folder, triton) as check:
                    for line in _greeting(name, ports, manifest.spec):
                        say(line)
                    triton.wait()
                    check()


def choose_release(storage: Storage, release: str | None) -> str:
    """Return the name of the release to serve, which may be given by its path.

    Raises:
        ServerError: It is not in the storage, or none is named and there is not just one.
    """
    names = storage.release_names()
    if not names:
        raise ServerError(f"{storage.root}: has no release; `ft-serving weights prepare` makes one")
    listed = "\n  ".join(["", *names])
    if release is None and len(names) > 1:
        raise ServerError(f"{storage.root}: has several releases; name one with --release:{listed}")
    name = names[0] if release is None else storage.find(release)
    if name is None:
        raise ServerError(f"{storage.root}: has no release {release}, only:{listed}")
    return name


@contextmanager
def _openai(
    ports: Ports, model: str, release: Path, triton: TritonProcess
) -> Iterator[Callable[[], None]]:
    """Serve the OpenAI API, if it has a port; give a check that it has not ended by itself."""
    if ports.openai is None:
        yield lambda: None
        return
    with OpenAIProcess(ports, model, release / WEIGHTS_PATH, triton.stop) as process:

        def stop() -> None:
            # First: it takes no more requests, and Triton answers those that it has taken.
            process.stop()
            triton.stop()

        with _on_stop_signals(stop):
            process.wait_until_ready()
            yield process.check


@contextmanager
def _on_stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    previous = [signal.signal(number, lambda *_: stop()) for number in _STOP_SIGNALS]
    try:
        yield
    finally:
        for number, handler in zip(_STOP_SIGNALS, previous, strict=True):
            signal.signal(number, handler)


def _greeting(name: str, ports: Ports, spec: ReleaseSpec) -> Iterator[str]:
    url = f"http://{ADDRESS}:{ports.http}"
    yield f"Serving {name} on {url} and grpc {ADDRESS}:{ports.grpc}"
    verb = "generate_stream" if spec.streaming else "generate"
    yield f"Try it: curl {url}/v2/models/{MODEL_NAME}/{verb} -d '{_EXAMPLE}'"
    if ports.openai:
        api = f"http://{ADDRESS}:{ports.openai}/v1"
        yield f"OpenAI API: {api}, with the model {spec.repository!r}"
    yield "Stop it: Ctrl-C"
