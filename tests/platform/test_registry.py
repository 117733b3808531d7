"""What is built with the platform's Docker engine runs in its cluster."""

import secrets

import pytest

from tests.platform.cluster import Namespace
from tests.platform.images import build_and_push, docker
from tests.platform.manifests import container, pod

pytestmark = pytest.mark.platform


def test_an_image_is_built_pushed_and_pulled_by_its_digest(
    namespace: Namespace, base_image: str
) -> None:
    # Of content that is in no cache yet.
    word = secrets.token_hex(8)
    dockerfile = f"FROM {base_image}\nRUN echo {word} > /built\n"

    image = build_and_push("word", "-", stdin=dockerfile)

    assert namespace.run(pod("built", container(image, "cat", "/built"))) == f"{word}\n"
    running = namespace.get("v1/Pod", "built")["status"]["containerStatuses"][0]
    assert running["imageID"] == image
    docker("image", "rm", "--force", image)
