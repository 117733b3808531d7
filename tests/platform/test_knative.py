"""A Knative service behind the ingress on 127.0.0.1."""

from http import HTTPStatus
from urllib.parse import urlsplit

import pytest

from local_platform.settings import INGRESS_DOMAIN
from tests.platform.cluster import Namespace, ready
from tests.platform.ingress import ask, wait_until_routed
from tests.platform.manifests import knative_service, pod, python, web_server
from tests.platform.waiting import wait_until

pytestmark = pytest.mark.platform

KIND = "serving.knative.dev/v1/Service"
PODS = "serving.knative.dev/service=hello"


def test_a_service_answers_through_the_ingress_goes_to_zero_and_wakes(
    namespace: Namespace, base_image: str
) -> None:
    namespace.create(knative_service("hello", web_server(base_image, "hello")))
    url = namespace.wait(KIND, "hello", ready, seconds=90)["status"]["url"]

    host = urlsplit(url).netloc
    assert host == f"hello.{namespace.name}.{INGRESS_DOMAIN}"
    wait_until_routed(host)
    assert ask(host) == (HTTPStatus.OK, b"hello")
    assert ask("nobody.localhost")[0] == HTTPStatus.NOT_FOUND, "the ingress goes by the name"

    # Pods have the same address for it; on their own loopback nobody would answer.
    fetch = f"import urllib.request; print(urllib.request.urlopen({url!r}, timeout=60).read())"
    assert namespace.run(pod("inside", python(base_image, fetch))) == "b'hello'\n"

    wait_until(lambda: not namespace.items("v1/Pod", PODS), "its pod is still there", seconds=90)

    assert ask(host, seconds=60) == (HTTPStatus.OK, b"hello"), "the first request wakes it"
    assert namespace.items("v1/Pod", PODS), "there is a pod again"
