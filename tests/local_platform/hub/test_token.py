from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from local_platform.hub.server import HubServer
from tests.local_platform.hub.wire import request

TOKEN = "hf_correct"
VOCAB = "/tiny-gptj/resolve/main/vocab.txt"


@pytest.fixture
def hub(root: Path) -> Iterator[HubServer]:
    with HubServer(root, token=TOKEN) as hub:
        yield hub


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_the_token_opens_the_mirror(hub: HubServer, scheme: str) -> None:
    answer = request(hub.url, VOCAB, headers={"Authorization": f"{scheme} {TOKEN}"})
    assert (answer.status, answer.body) == (200, b"hello\n")


@pytest.mark.parametrize("target", [VOCAB, "/api/models/tiny-gptj", "/api/models/nobody"])
def test_without_a_token_no_one_learns_what_is_served(hub: HubServer, target: str) -> None:
    answer = request(hub.url, target)
    assert (answer.status, answer.headers["X-Error-Code"]) == (401, "RepoNotFound")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        "Bearer",
        "Bearer ",
        "",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer \xe9",
    ],
)
def test_a_wrong_token_is_refused(hub: HubServer, header: str) -> None:
    answer = request(hub.url, VOCAB, headers={"Authorization": header})
    assert answer.status == 401
    assert answer.headers["X-Error-Code"] is None
    assert answer.headers["X-Error-Message"] == "Invalid credentials in Authorization header"


def test_health_needs_no_token(hub: HubServer) -> None:
    assert request(hub.url, "/healthz").status == 200, "a probe has no token"


def test_huggingface_hub_sends_the_token(hub: HubServer) -> None:
    assert HfApi(endpoint=hub.url, token=TOKEN).model_info("tiny-gptj").id == "tiny-gptj"


def test_huggingface_hub_tells_a_missing_token_from_a_wrong_one(hub: HubServer) -> None:
    with pytest.raises(RepositoryNotFoundError, match="this mirror needs a token"):
        HfApi(endpoint=hub.url, token=False).model_info("tiny-gptj")
    with pytest.raises(HfHubHTTPError, match="Invalid credentials") as caught:
        HfApi(endpoint=hub.url, token="hf_wrong").model_info("tiny-gptj")
    assert not isinstance(caught.value, RepositoryNotFoundError)


def test_the_token_is_neither_logged_nor_shown(
    hub: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("DEBUG", logger="local_platform"):
        request(hub.url, f"{VOCAB}?token={TOKEN}", headers={"Authorization": f"Bearer {TOKEN}"})
        request(hub.url, VOCAB, headers={"Authorization": "Bearer hf_other"})
    assert "hf_" not in caplog.text
    assert TOKEN not in repr(hub._service)
