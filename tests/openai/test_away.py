"""A model that is away is waited for, as long as the server was told; a lost one is asked again."""

import asyncio
from pathlib import Path

import openai
import psutil
import pytest
import urllib3

from tests import coroutines
from tests.openai.conftest import MODEL
from tests.openai.serving import api
from tests.serving import GOLDEN, free_ports, prepare, served

PROMPT = GOLDEN["prompt"]
ASKED = {"model": MODEL, "prompt": PROMPT, "temperature": 0}


def test_a_model_that_stays_away_gets_503_and_when_to_ask_again(tmp_path: Path) -> None:
    # Nobody listens on port 1.
    with api("127.0.0.1:1", MODEL, tmp_path, ("--wait", "0")) as (address, _):
        answer = urllib3.request("POST", f"{address}/v1/completions", json=ASKED)
        # Otherwise urllib3 itself would ask again after 5 s.
        passed_on = urllib3.request("GET", f"{address}/v2/health/ready", retries=False)
        assert urllib3.request("GET", f"{address}/health").status == 200
    for refused in (answer, passed_on):
        assert refused.status == 503
        assert refused.headers["Retry-After"] == "5"
        assert "cannot reach" in refused.json()["error"]["message"]


@pytest.mark.slow
def test_requests_wait_for_the_model_and_streams_go_on_when_it_is_back(
    served_storage: Path, tmp_path: Path
) -> None:
    release = prepare(served_storage, "--streaming")
    ports = free_ports(3)

    def waits() -> int:
        return next(tmp_path.glob("openai-*.err")).read_text().count("Waiting for the model")

    async def ask(address: str) -> None:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            waiting = [
                asyncio.create_task(client.completions.create(**ASKED, max_tokens=38))
                for _ in range(20)
            ]
            async with asyncio.timeout(10):
                while not waits():
                    await asyncio.sleep(0.05)
            with served(served_storage, release, ports=ports) as server:
                answers = await asyncio.gather(*waiting)
                assert {answer.choices[0].text for answer in answers} == {GOLDEN["text"]}
                long = {**ASKED, "max_tokens": 400, "extra_body": {"ignore_eos": True}}
                whole = (await client.completions.create(**long)).choices[0].text
                # So many at once take seconds: they are far from their end when it is killed.
                begun = (client.completions.create(**long, stream=True) for _ in range(32))
                streams = await asyncio.gather(*begun)
                texts = [(await anext(stream)).choices[0].text for stream in streams]
                before = waits()
                for process in server.process.children(recursive=True):
                    process.kill()
                psutil.wait_procs([server.process], 60)
            with served(served_storage, release, ports=ports):
                for number, stream in enumerate(streams):
                    async for part in stream:
                        texts[number] += part.choices[0].text
            assert set(texts) == {whole}
            assert waits() > before, "the streams were over before the model went away"

    with api(f"127.0.0.1:{ports[0]}", MODEL, tmp_path) as (address, _):
        coroutines.run(ask(address))
