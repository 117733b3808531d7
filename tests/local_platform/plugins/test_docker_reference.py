"""Names of images."""

import pytest

from local_platform.plugins.docker.errors import ImageNameError
from local_platform.plugins.docker.reference import registry, repository

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost:5000/a:1", "localhost:5000/a"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("docker.io/user/a-b.c__d:v1.2", "docker.io/user/a-b.c__d"),
        (f"ghcr.io/a/b/c:x@{DIGEST}", "ghcr.io/a/b/c"),
        ("[::1]:5000/a:1", "[::1]:5000/a"),
        ("a:1", "a"),
    ],
)
def test_a_repository_is_the_name_without_tag_and_digest(name: str, expected: str) -> None:
    assert repository(name) == expected


@pytest.mark.parametrize(
    "name", ["", "A:1", "localhost:5000/A:1", "a:", "a:b c", "a/", "/a", "a@sha256:12", "a--", "é"]
)
def test_what_is_no_image_name_is_refused(name: str) -> None:
    with pytest.raises(ImageNameError, match="invalid reference format"):
        repository(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("localhost:5000/a:1", "localhost:5000"),
        ("localhost/a", "localhost"),
        ("docker.io/user/a:1", "docker.io"),
        ("docker.io/library/a", "docker.io"),
        ("example.com/a", "example.com"),
    ],
)
def test_the_registry_comes_first(name: str, expected: str) -> None:
    assert registry(name) == expected


@pytest.mark.parametrize("name", ["a:1", "user/a:1", "docker.io/a", "index.docker.io/user/a"])
def test_a_name_that_docker_would_complete_is_not_canonical(name: str) -> None:
    with pytest.raises(ImageNameError, match="repository name must be canonical"):
        registry(name)
