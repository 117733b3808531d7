"""A second registry on the platform's node, which asks for a password."""

import base64
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import yaml

from local_platform.node import namespace
from tests.platform.images import by_digest, docker
from tests.platform.waiting import wait_until

PORT = 5055
ADDRESS = f"localhost:{PORT}"
"""As the node's Docker and containerd reach it: in the clear, because it is the node's loopback."""

USER = "someone"
PASSWORD = "registry-password-7d1f0c52"
# htpasswd -nbBC 5; any other form than bcrypt is refused by the registry.
_HTPASSWD = f"{USER}:$2b$05$itJ0QFuNhva2UpSnXNnmBuo14ODHl5sjPyDpx/0L0yUUD4EJkSq4S\n"
LOGIN = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@contextmanager
def private_registry(folder: Path) -> Iterator[None]:
    """Serve from an empty folder."""
    (folder / "htpasswd").write_text(_HTPASSWD)
    configuration = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "auth": {"htpasswd": {"realm": "private", "path": str(folder / "htpasswd")}},
        "http": {"addr": f"127.0.0.1:{PORT}"},
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump(configuration))
    serving = subprocess.Popen(_in_node("docker-registry", "serve", str(folder / "registry.yaml")))
    try:
        wait_until(_asks_for_a_password, "the registry does not ask for a password", 20)
        yield
    finally:
        serving.kill()
        serving.wait()


def push(source: str, repository: str, folder: Path) -> str:
    """Copy an image of the platform's registry to this one; return its name by its digest."""
    (folder / "config.json").write_text(json.dumps({"auths": {ADDRESS: {"auth": LOGIN}}}))
    tag = f"{ADDRESS}/{repository}:1"
    docker("pull", "--quiet", source)
    docker("tag", source, tag)
    docker("--config", str(folder), "push", "--quiet", tag)
    return by_digest(tag)


def _in_node(*command: str) -> list[str]:
    node = namespace.find()
    assert node is not None, "the platform is not up"
    # Only the network: with the namespace of processes, killing what started it would not end it.
    return ["nsenter", f"--target={node.pid}", "--net", "--", *command]


def _asks_for_a_password() -> bool:
    ask = _in_node(
        "curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}",
        f"http://{ADDRESS}/v2/",
    )  # fmt: skip
    done = subprocess.run(ask, capture_output=True, text=True, check=False)
    return done.stdout == str(int(HTTPStatus.UNAUTHORIZED))
