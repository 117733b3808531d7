"""Pods of the platform: their volumes, their network, and Knative services behind the ingress."""

import json
import shlex
import subprocess
from http import HTTPStatus
from urllib.parse import urlsplit

import pytest
from kubernetes.dynamic import DynamicClient

from local_platform.settings import HUB_URL, INGRESS_DOMAIN, VOLUMES
from tests.platform.cluster import Namespace, bound, has_ended, ready
from tests.platform.images import docker
from tests.platform.ingress import ask, wait_until_routed
from tests.platform.manifests import claim, knative_service, pod, python, service, web_server
from tests.platform.waiting import wait_until

pytestmark = pytest.mark.platform

CLAIM = "v1/PersistentVolumeClaim"

MEET = """
import pathlib, sys, time
mine, other = (pathlib.Path("/data") / name for name in {names!r})
mine.touch()
deadline = time.monotonic() + 90
while not other.exists():
    if time.monotonic() > deadline:
        sys.exit("the other pod's file did not appear")
    time.sleep(0.05)
"""

# The node learns of a Service's pod a moment after the pod is ready, and refuses until then.
FETCH = """
import time, urllib.request
deadline = time.monotonic() + 20
while True:
    try:
        print(urllib.request.urlopen({url!r}, timeout=60).read().decode())
        break
    except OSError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.2)
"""


def test_unprivileged_pods_share_a_volume_which_goes_with_its_claim(
    namespace: Namespace, base_image: str, api: DynamicClient
) -> None:
    namespace.create(claim("shared"))
    for name, other in (("one", "other"), ("other", "one")):
        program = MEET.format(names=(name, other))
        namespace.create(pod(name, python(base_image, program), claim="shared"))
    ended = [namespace.wait("v1/Pod", name, has_ended, seconds=120) for name in ("one", "other")]
    assert [one["status"]["phase"] for one in ended] == ["Succeeded", "Succeeded"]
    volume = namespace.get(CLAIM, "shared")["spec"]["volumeName"]
    (folder,) = VOLUMES.glob(f"{namespace.name}-shared-*")
    assert {path.name for path in folder.iterdir()} == {"one", "other"}

    for name in ("one", "other"):
        namespace.delete("v1/Pod", name)
    namespace.delete(CLAIM, "shared")

    def volumes() -> list[str]:
        found = api.resources.get(api_version="v1", kind="PersistentVolume").get()
        return [one.metadata.name for one in found.items]

    wait_until(lambda: not folder.exists(), f"{folder} is still there")
    wait_until(lambda: volume not in volumes(), f"{volume} is still there")


def test_a_claim_that_asks_for_more_gets_more_in_place(namespace: Namespace) -> None:
    namespace.create(claim("growing", "1Gi"))
    before = namespace.wait(CLAIM, "growing", bound)
    assert before["status"]["capacity"] == {"storage": "1Gi"}

    more = {"spec": {"resources": {"requests": {"storage": "3Gi"}}}}
    namespace.patch(CLAIM, "growing", more)

    grown = namespace.wait(
        CLAIM, "growing", lambda one: one["status"]["capacity"] == {"storage": "3Gi"}, seconds=20
    )
    assert grown["spec"]["volumeName"] == before["spec"]["volumeName"]


def test_a_pod_reaches_a_service_by_its_name_and_the_hub(
    namespace: Namespace, base_image: str
) -> None:
    namespace.create(pod("web", web_server(base_image, "from the other pod")))
    namespace.create(service("web"))
    namespace.wait("v1/Pod", "web", ready)

    def fetch(name: str, url: str) -> str:
        return namespace.run(pod(name, python(base_image, FETCH.format(url=url))))

    full = f"http://web.{namespace.name}.svc.cluster.local/"
    assert fetch("by-full-name", full) == "from the other pod\n"
    assert fetch("by-name", "http://web/") == "from the other pod\n"
    listing = json.loads(fetch("hub", f"{HUB_URL}/api/models/tiny-gptj/revision/main"))
    assert "config.json" in {file["rfilename"] for file in listing["siblings"]}


def test_a_name_of_the_outside_resolves_in_a_pod_and_in_a_build(
    namespace: Namespace, base_image: str
) -> None:
    # The platform's packages came from this name, so that the machine reaches it.
    command = ["apt-get", "indextargets", "--format", "$(SITE)", "Created-By: Packages"]
    asked = subprocess.run(command, capture_output=True, text=True, check=True)
    site = asked.stdout.split()[0]
    resolve = f"import socket; socket.gethostbyname({(urlsplit(site).hostname or site)!r})"

    namespace.run(pod("outside", python(base_image, resolve)))
    dockerfile = f"FROM {base_image}\nRUN python3 -c {shlex.quote(resolve)}\n"
    docker("build", "--quiet", "--no-cache", "-", stdin=dockerfile)


def test_a_knative_service_answers_through_the_ingress_goes_to_zero_and_wakes(
    namespace: Namespace, base_image: str
) -> None:
    namespace.create(knative_service("hello", web_server(base_image, "hello")))
    found = namespace.wait("serving.knative.dev/v1/Service", "hello", ready, seconds=90)
    url = found["status"]["url"]

    host = urlsplit(url).netloc
    assert host == f"hello.{namespace.name}.{INGRESS_DOMAIN}"
    wait_until_routed(host)
    assert ask(host) == (HTTPStatus.OK, b"hello")
    assert ask("nobody.localhost")[0] == HTTPStatus.NOT_FOUND, "the ingress goes by the name"
    # Pods have the same address for it; on their own loopback nobody would answer.
    inside = python(base_image, FETCH.format(url=url))
    assert namespace.run(pod("inside", inside)) == "hello\n"

    def pods() -> object:
        return namespace.items("v1/Pod", "serving.knative.dev/service=hello")

    wait_until(lambda: not pods(), "its pod is still there", seconds=90)
    assert ask(host, seconds=60) == (HTTPStatus.OK, b"hello"), "the first request wakes it"
    assert pods(), "there is a pod again"
