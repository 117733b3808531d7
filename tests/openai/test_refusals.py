"""A request that cannot be honoured gets its status, its parameter and words; never silence."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
import urllib3

from ft_serving.openai.app import LARGEST_BODY_BYTES
from ft_serving.openai.upstream import MOST_TEXTS
from tests.openai.conftest import MODEL
from tests.serving import GOLDEN

REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"logit_bias": {"5": 1}}, "logit_bias", "no engine has it"),
    ({"frequency_penalty": 1}, "frequency_penalty", "no engine has it"),
    ({"suffix": "."}, "suffix", "leave it out"),
    ({"best_of": 3}, "best_of", "must equal n, 1"),
    ({"logprobs": 3}, "logprobs", "chosen token only"),
    ({"logprobs": 0, "echo": True}, "logprobs", "leave out echo"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "stream: true"),
    ({"stop": [""]}, "stop", "must not be empty"),
    ({"temperature": 3}, "temperature", "less than or equal to 2"),
    ({"temperature": True}, "temperature", "valid number"),
    ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
    ({"max_tokens": 10000}, "prompt", "longer than the 512"),
    ({"n": 128, "prompt": ["Mary"] * 5}, "n", f"may have {MOST_TEXTS} texts"),
    ({"prompt": []}, "prompt", "there is no prompt"),
    ({"prompt": ""}, "prompt", "is empty"),
    ({"prompt": [[]]}, "prompt", "is empty"),
    ({"prompt": [1, "a"]}, "prompt", "valid"),
    ({"prompt": [-1]}, "prompt", "token ids from 0"),
    ({"nosuch": 1}, "nosuch", "no such parameter"),
    ({"top_k": -1}, "top_k", "greater than or equal to 0"),
    ({"presence_penalty": 1, "repetition_penalty": 1.2}, "repetition_penalty", "one of the two"),
]


@pytest.mark.parametrize(("fields", "param", "said"), REFUSED, ids=lambda it: str(it)[:40])
def test_a_field_that_cannot_be_honoured_is_named(
    client: openai.OpenAI, fields: dict[str, Any], param: str, said: str
) -> None:
    body = {"model": MODEL, "prompt": "Mary", **fields}
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/completions", body=body, cast_to=object)
    assert refused.value.param == param
    assert said in refused.value.message


def test_all_wrong_fields_are_told_at_once(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/completions", body={"model": MODEL, "n": 0, "x": 1}, cast_to=object)
    for name in ("prompt: ", "n: ", "x: "):
        assert name in refused.value.message


def test_a_token_that_the_model_lacks_is_refused_by_the_engine(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the vocabulary; got 999999") as refused:
        client.completions.create(model=MODEL, prompt=[999999])
    assert refused.value.param == "prompt"


def test_another_model_does_not_exist(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.completions.create(model="gpt-4", prompt="Mary")
    assert (refused.value.param, refused.value.code) == ("model", "model_not_found")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe",
        b'{"model":',
        b'{"model": "tiny-gptj", "prompt": "\\ud800"}',
        b"[" * 100_000,
        b'{"model": "tiny-gptj", "prompt": ' + b"9" * 10_000 + b"}",
    ],
    ids=["empty", "array", "not UTF-8", "cut off", "half a pair", "deep", "huge number"],
)
def test_a_body_that_is_no_request_gets_400(address: str, body: bytes) -> None:
    answer = urllib3.request("POST", f"{address}/v1/completions", body=body)
    assert answer.status == 400
    assert json.loads(answer.data)["error"]["type"] == "invalid_request_error"


def test_hostile_bodies_do_not_harm_good_requests_beside_them(address: str) -> None:
    huge = json.dumps({"model": MODEL, "prompt": "lamb " * 1_000_000}).encode()
    hostile = [huge, b"[" * 1_000_000, b"\xff" * 100_000, b'{"model": "tiny-gptj"}', b""] * 4

    def refused(body: bytes) -> int:
        return urllib3.request("POST", f"{address}/v1/completions", body=body).status

    def answered(_: int) -> str:
        body = {"model": MODEL, "prompt": GOLDEN["prompt"], "max_tokens": 38, "temperature": 0}
        answer = urllib3.request("POST", f"{address}/v1/completions", json=body)
        return str(answer.json()["choices"][0]["text"])

    with ThreadPoolExecutor(16) as threads:
        bad, good = threads.map(refused, hostile), threads.map(answered, range(20))
        assert set(bad) == {400}
        assert set(good) == {GOLDEN["text"]}


def test_a_body_that_is_too_large_gets_413(address: str) -> None:
    body = b" " * (LARGEST_BODY_BYTES + 1)
    answer = urllib3.request("POST", f"{address}/v1/completions", body=body)
    assert answer.status == 413


@pytest.mark.parametrize("path", ["/nosuch", "/v1/embeddings", "/"])
def test_an_endpoint_that_is_not_there_is_named(address: str, path: str) -> None:
    answer = urllib3.request("GET", address + path)
    assert answer.status == 404
    assert path in json.loads(answer.data)["error"]["message"]


def test_texts_without_room_get_429_and_when_to_ask_again(client: openai.OpenAI) -> None:
    prompts = ["Mary had"] * (MOST_TEXTS // 128)
    with client.completions.create(
        model=MODEL,
        prompt=prompts,
        n=128,
        max_tokens=400,
        stream=True,
        extra_body={"ignore_eos": True},
    ) as texts:
        next(iter(texts))
        with pytest.raises(
            openai.RateLimitError, match="room for 0 more texts now, and the request has 1"
        ) as raised:
            client.completions.create(model=MODEL, prompt="Mary had")
        assert int(raised.value.response.headers["Retry-After"]) > 0
