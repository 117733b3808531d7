from http import HTTPStatus

import pytest

from local_platform.errors import RefusedRequestError
from local_platform.hub.routes import (
    FileRoute,
    HealthRoute,
    ModelRoute,
    Route,
    TreeRoute,
    parse_target,
)


@pytest.mark.parametrize(
    ("target", "route"),
    [
        ("/healthz", HealthRoute()),
        ("/api/models/tiny", ModelRoute(repo_id="tiny", revision="main", blobs=False)),
        ("/api/models/a/b?blobs=true", ModelRoute(repo_id="a/b", revision="main", blobs=True)),
        (
            "/api/models/tiny/revision/refs%2Fpr%2F1?blobs=True",
            ModelRoute(repo_id="tiny", revision="refs/pr/1", blobs=True),
        ),
        (
            "/api/models/a/b/revision/main",
            ModelRoute(repo_id="a/b", revision="main", blobs=False),
        ),
        (
            "/api/models/tiny/tree/main?recursive=true&expand=false",
            TreeRoute(repo_id="tiny", revision="main", path="", recursive=True),
        ),
        (
            "/api/models/a/b/tree/main/x%2Fy?recursive=false",
            TreeRoute(repo_id="a/b", revision="main", path="x/y", recursive=False),
        ),
        (
            "/tiny/resolve/main/x/y%20z",
            FileRoute(repo_id="tiny", revision="main", path="x/y z"),
        ),
        (
            "/a/b/resolve/main/c?download=true",
            FileRoute(repo_id="a/b", revision="main", path="c"),
        ),
        (
            "http://127.0.0.1:8090/tiny/resolve/main/c",
            FileRoute(repo_id="tiny", revision="main", path="c"),
        ),
    ],
)
def test_the_paths_that_huggingface_hub_asks_for_are_read(target: str, route: Route) -> None:
    assert parse_target(target) == route


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "/api/models/tiny/revision",
        "/api/models/tiny/tree",
        "/api/datasets/a/b",
        "/tiny/resolve/main",
        "/datasets/a/b/resolve/main/c",
        "/tiny/raw/main/c",
        "/healthz/x",
    ],
)
def test_a_path_that_is_not_served_is_a_missing_repository(target: str) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        parse_target(target)
    assert caught.value.code == "RepoNotFound"


@pytest.mark.parametrize("target", ["/tiny/resolve/main/%ff", "http://[/x"])
def test_a_target_that_cannot_be_decoded_is_refused(target: str) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        parse_target(target)
    assert caught.value.status == HTTPStatus.BAD_REQUEST
