"""Pods reach each other, names resolve inside and outside, and the model hub answers."""

import json
import shlex
import socket
import subprocess
from urllib.parse import urlsplit

import pytest

from local_platform.settings import HUB_URL
from tests.platform.cluster import Namespace, ready
from tests.platform.images import docker
from tests.platform.manifests import pod, python, service, web_server

pytestmark = pytest.mark.platform

FETCH = "import urllib.request; print(urllib.request.urlopen({url!r}, timeout=10).read().decode())"

# The node learns of a Service's pod a moment after the pod is ready, and refuses until then.
CONNECT = """
import socket, time
deadline = time.monotonic() + 20
while True:
    try:
        socket.create_connection(({host!r}, 80), timeout=10).close()
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.2)
"""


def test_a_pod_reaches_another_by_the_name_of_its_service(
    namespace: Namespace, base_image: str
) -> None:
    namespace.create(pod("web", web_server(base_image, "from the other pod")))
    namespace.create(service("web"))
    namespace.wait("v1/Pod", "web", ready)
    host = f"web.{namespace.name}.svc.cluster.local"
    fetch = CONNECT.format(host=host) + FETCH.format(url=f"http://{host}/answer")

    assert namespace.run(pod("by-full-name", python(base_image, fetch))) == "from the other pod\n"
    fetch = FETCH.format(url="http://web/answer")
    assert namespace.run(pod("by-name", python(base_image, fetch))) == "from the other pod\n"


def test_a_name_of_the_outside_resolves_in_a_pod_as_on_the_machine(
    namespace: Namespace, base_image: str
) -> None:
    host = package_mirror()
    resolve = f"import socket, json; print(json.dumps(socket.gethostbyname_ex({host!r})[2]))"

    answer = json.loads(namespace.run(pod("outside", python(base_image, resolve))))

    assert answer, f"{host}, which this machine's packages come from, has no address in a pod"
    # Behind one name may be changing addresses, so that only the kind of answer can be compared.
    assert all(socket.inet_aton(address) for address in answer)


def test_a_name_of_the_outside_resolves_in_a_build(base_image: str) -> None:
    resolve = f"import socket; socket.gethostbyname({package_mirror()!r})"
    dockerfile = f"FROM {base_image}\nRUN python3 -c {shlex.quote(resolve)}\n"

    docker("build", "--quiet", "--no-cache", "-", stdin=dockerfile)


def package_mirror() -> str:
    """A name that this machine is known to reach, since the platform's packages came from it."""
    uris = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert uris, "apt has no source of packages"
    return urlsplit(uris[0]).hostname or uris[0]


def test_the_model_hub_answers_a_pod(namespace: Namespace, base_image: str) -> None:
    fetch = FETCH.format(url=f"{HUB_URL}/api/models/tiny-gptj/revision/main")

    answer = json.loads(namespace.run(pod("hub", python(base_image, fetch))))

    assert "config.json" in {file["rfilename"] for file in answer["siblings"]}
