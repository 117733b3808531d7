"""`ft-serving openai` in front of a real tritonserver."""

from collections.abc import Iterator

import openai
import pytest

from tests.openai.serving import api
from tests.serving import Served

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
"""Makes a conversation the rhyme that its messages are."""

MODEL = "tiny-gptj"


@pytest.fixture(scope="session")
def address(streaming_server: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of the API."""
    folder = tmp_path_factory.mktemp("openai")
    template = folder / "template.jinja"
    template.write_text(TEMPLATE)
    options = ("--chat-template", str(template))
    with api(streaming_server.http, MODEL, folder, options) as (address, _):
        yield address


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[openai.OpenAI]:
    """The official client."""
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client
