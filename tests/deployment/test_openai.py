"""The OpenAI API of a deployed stack, asked by its official client through the ingress."""

from typing import Any

import openai
import pytest

from tests import coroutines
from tests.deployment.program import Deployment, openai_options
from tests.serving import GOLDEN

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

ASKED: dict[str, Any] = {
    "model": "tiny-gptj",
    "prompt": GOLDEN["prompt"],
    "max_tokens": GOLDEN["request_output_len"],
    "temperature": 0,
}


def test_the_official_client_gets_the_golden_answer_beside_the_models_own_protocol(
    deployment: Deployment,
) -> None:
    options = openai_options(deployment)
    with openai.OpenAI(**options) as client:
        assert [model.id for model in client.models.list()] == ["tiny-gptj"]
        answer = client.completions.create(**ASKED)
        assert answer.choices[0].text == GOLDEN["text"]
        assert answer.usage is not None
        assert answer.usage.completion_tokens == GOLDEN["request_output_len"]
        with client.completions.create(**ASKED, stream=True) as parts:
            assert "".join(part.choices[0].text for part in parts) == GOLDEN["text"]
        with pytest.raises(openai.BadRequestError, match="chatTemplate"):
            client.chat.completions.create(
                model="tiny-gptj", messages=[{"role": "user", "content": "Sing."}]
            )

    async def asynchronously() -> str:
        async with openai.AsyncOpenAI(**options) as client:
            return str((await client.completions.create(**ASKED)).choices[0].text)

    assert coroutines.run(asynchronously()) == GOLDEN["text"]
    assert deployment.is_right()
