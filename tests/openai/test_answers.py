"""The official client gets the answers that it expects."""

import asyncio
import http.client
import json
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import openai
import pytest
import urllib3

from ft_serving.client import GenerationClient
from tests import coroutines
from tests.openai.conftest import MODEL
from tests.openai.serving import api
from tests.server.backend.asking import wait_until_idle
from tests.serving import GOLDEN, TINY_GPTJ, Served, free_ports, prepare, served

PROMPT = GOLDEN["prompt"]
ANSWER = GOLDEN["text"]


def greedy(**more: Any) -> dict[str, Any]:
    """A request for the golden answer."""
    return {"model": MODEL, "prompt": PROMPT, "temperature": 0, "max_tokens": 38, **more}


def test_the_golden_answer_comes_for_text_and_for_tokens(client: openai.OpenAI) -> None:
    for prompt in (PROMPT, [PROMPT], GOLDEN["input_ids"], [GOLDEN["input_ids"]]):
        answer = client.completions.create(**greedy(prompt=prompt))
        [choice] = answer.choices
        assert (choice.text, choice.finish_reason) == (ANSWER, "length")
        assert answer.usage is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 38)


def test_a_text_that_the_model_ends_has_finished_by_stop(client: openai.OpenAI) -> None:
    [choice] = client.completions.create(**greedy(max_tokens=100)).choices
    assert choice.finish_reason == "stop"
    assert "<|endoftext|>" not in choice.text


def test_each_prompt_has_its_choices_in_order(client: openai.OpenAI) -> None:
    answer = client.completions.create(**greedy(prompt=["Jack and Jill", PROMPT], n=2, echo=True))
    texts = [choice.text for choice in answer.choices]
    assert texts[0] == texts[1]
    assert texts[0].startswith("Jack and Jill went up the hill")
    assert texts[2:] == [PROMPT + ANSWER] * 2
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_a_stream_comes_in_parts_with_the_usage_at_its_end(client: openai.OpenAI) -> None:
    parts = list(
        client.completions.create(**greedy(), stream=True, stream_options={"include_usage": True})
    )
    texts = [part.choices[0].text for part in parts[:-1]]
    assert "".join(texts) == ANSWER
    assert len(texts) > 1, "tokens come one by one, unless this machine is busy"
    assert parts[-2].choices[0].finish_reason == "length"
    assert parts[-1].choices == []
    assert parts[-1].usage.completion_tokens == 38


@pytest.mark.parametrize("stream", [False, True])
def test_a_text_ends_before_its_stop_sequence(client: openai.OpenAI, stream: bool) -> None:
    # Neither is the tokens' own boundary, and the first is the beginning of a word.
    answer = client.completions.create(**greedy(stop=["whi", "goes"], stream=stream))
    parts = list(answer) if stream else [answer]
    assert "".join(part.choices[0].text for part in parts) == ANSWER.partition("whi")[0]
    assert parts[-1].choices[0].finish_reason == "stop"


def test_seeds_decide_what_is_drawn(client: openai.OpenAI) -> None:
    def drawn(**more: Any) -> list[str]:
        hot = greedy(temperature=2, prompt="The", max_tokens=12, n=3, **more)
        return [choice.text for choice in client.completions.create(**hot).choices]

    assert drawn(seed=7) == drawn(seed=7)
    assert len(set(drawn(seed=7))) == 3
    assert drawn() != drawn()


def test_log_probabilities_go_with_their_tokens(client: openai.OpenAI) -> None:
    whole = client.completions.create(**greedy(logprobs=1)).choices[0].logprobs
    assert whole is not None
    assert whole.tokens is not None
    assert whole.text_offset is not None
    assert "".join(whole.tokens) == ANSWER
    assert all(
        ANSWER[at:].startswith(t) for at, t in zip(whole.text_offset, whole.tokens, strict=True)
    )
    assert all(-0.1 < value < 0 for value in whole.token_logprobs or ())
    assert whole.top_logprobs == [
        {token: value}
        for token, value in zip(whole.tokens, whole.token_logprobs or (), strict=True)
    ]
    parts = list(client.completions.create(**greedy(logprobs=0), stream=True))
    streamed = [token for part in parts for token in part.choices[0].logprobs.tokens]
    assert streamed == whole.tokens


def test_what_engines_have_beyond_the_api_is_sent_as_extra_fields(client: openai.OpenAI) -> None:
    extra = {"bad_words": ["fleece"], "top_k": 5, "repetition_penalty": 1.1, "min_tokens": 10}
    answer = client.completions.create(**greedy(temperature=0.5), extra_body=extra)
    assert "fleece" not in answer.choices[0].text


def test_a_conversation_is_completed(client: openai.OpenAI) -> None:
    messages: Any = [
        {"role": "user", "content": "Mary has"},
        {"role": "user", "content": " a little lamb."},
    ]
    asked: Any = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 38}
    answer = client.chat.completions.create(**asked)
    assert answer.choices[0].message.content == ANSWER
    parts = client.chat.completions.create(**asked, stream=True)
    assert "".join(part.choices[0].delta.content or "" for part in parts) == ANSWER


def test_the_model_is_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


def test_streams_are_neither_lost_nor_mixed_up_when_some_are_cut_off(
    address: str, streaming_server: Served
) -> None:
    async def stream(api: openai.AsyncOpenAI, number: int) -> str | None:
        text = f"{number}"
        asked = greedy(prompt=f"{number} {PROMPT}", echo=True)
        async with await api.completions.create(**asked, stream=True) as parts:
            text = ""
            async for part in parts:
                text += part.choices[0].text
                if number % 4 == 0 and len(text) > 40:
                    return None
        return text

    async def ask() -> list[str | None]:
        async with openai.AsyncOpenAI(
            base_url=f"{address}/v1", api_key="none", max_retries=0
        ) as api:
            return await asyncio.gather(*(stream(api, number) for number in range(64)))

    texts = coroutines.run(ask())
    assert texts.count(None) == 16
    for number, text in enumerate(texts):
        assert text is None or text.startswith(f"{number} {PROMPT}")
    wait_until_idle(streaming_server.metrics)


def test_the_inference_protocol_is_passed_on(address: str) -> None:
    with GenerationClient(address, tokenizer=TINY_GPTJ) as client:
        chunks = list(client.stream(PROMPT, output_length=38))
    assert "".join(chunk.text for chunk in chunks) == ANSWER
    assert len(chunks) == 39, "a chunk a token, and the end"


def test_one_who_stops_a_passed_on_stream_frees_its_place(
    address: str, streaming_server: Served
) -> None:
    body = {"input_ids": [690, 513], "input_lengths": 2, "request_output_len": 500, "end_id": 1023}
    path = "/v2/models/fastertransformer/generate_stream"
    for wait_for_answer in (True, False):
        with closing(http.client.HTTPConnection(address.removeprefix("http://"))) as connection:
            connection.request("POST", path, json.dumps(body))
            if wait_for_answer:
                connection.getresponse().readline()
    wait_until_idle(streaming_server.metrics)


def test_a_model_that_does_not_stream_gives_its_text_in_one_piece(
    plain_server: Served, tmp_path: Path
) -> None:
    with (
        api(plain_server.http, MODEL, tmp_path) as (address, _),
        openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client,
    ):
        whole = client.completions.create(**greedy(logprobs=1))
        parts = list(client.completions.create(**greedy(), stream=True))
    assert whole.choices[0].text == ANSWER
    assert len(whole.choices[0].logprobs.token_logprobs) == 38
    assert [part.choices[0].text for part in parts] == [ANSWER]


def test_serve_has_the_api_beside_triton_and_ends_with_it(served_storage: Path) -> None:
    release = prepare(served_storage, "--streaming")
    [port] = free_ports(1)
    with served(served_storage, release, options=("--openai-port", str(port))) as server:
        assert server.greeting[2].startswith(f"OpenAI API: http://127.0.0.1:{port}/v1")
        with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:
            assert client.completions.create(**greedy()).choices[0].text == ANSWER
        [beside] = [
            child
            for child in server.process.children(recursive=True)
            if "openai" in child.cmdline()
        ]
        beside.kill()
        assert server.process.wait(60) == 1
        assert "the OpenAI API ended by itself" in server.errors.read_text()


def test_metrics_count_requests_and_tokens(address: str, client: openai.OpenAI) -> None:
    def counted(name: str) -> float:
        text = urllib3.request("GET", f"{address}/metrics").data.decode()
        values = re.findall(rf'^{name}{{endpoint="/v1/completions".*?}} (\S+)$', text, re.M)
        return sum(map(float, values))

    names = (
        "openai_requests_total",
        "openai_prompt_tokens_total",
        "openai_generation_tokens_total",
        "openai_time_to_first_token_seconds_count",
    )
    before = [counted(name) for name in names]
    client.completions.create(**greedy())
    assert [counted(name) - old for name, old in zip(names, before, strict=True)] == [
        1,
        6,
        38,
        1,
    ]
