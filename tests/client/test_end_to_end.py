"""Everything together: the command line and the library against Triton serving tiny-gptj."""

import json
import subprocess
from pathlib import Path

import pytest

from ft_serving.client import Finish, GenerationClient
from tests.client.test_request_file import SAMPLE
from tests.serving import GOLDEN, NEVER_GENERATED, TINY_GPTJ, Served, ft_serving

pytestmark = pytest.mark.slow

PROMPT: str = GOLDEN["prompt"]
ANSWER = PROMPT + GOLDEN["text"]
TO_THE_END = PROMPT + GOLDEN["to_the_end"]["text"]
LENGTH = str(GOLDEN["request_output_len"])
ROUTES = ["http", "grpc"]
SERVERS = ["plain_server", "streaming_server"]


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Served:
    """Both kinds of server in turn."""
    found: Served = request.getfixturevalue(request.param)
    return found


def generate(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the command with tiny-gptj's tokenizer."""
    return ft_serving("generate", "--url", url, "--tokenizer", str(TINY_GPTJ), *options)


def url(server: Served, route: str) -> str:
    return f"{route}://{getattr(server, route)}"


def client(server: Served, route: str) -> GenerationClient:
    return GenerationClient(url(server, route), tokenizer=TINY_GPTJ)


@pytest.mark.parametrize("route", ROUTES)
def test_the_prompt_is_answered_with_the_golden_text(server: Served, route: str) -> None:
    done = generate(url(server, route), "--prompt", PROMPT, "--output-length", LENGTH)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"Output: {ANSWER}\n"


def test_the_protocol_may_be_named_instead(plain_server: Served) -> None:
    done = generate(
        plain_server.grpc, "--protocol", "grpc", "--prompt", PROMPT, "--output-length", LENGTH
    )
    assert done.stdout == f"Output: {ANSWER}\n", done.stderr


@pytest.mark.parametrize("route", ROUTES)
def test_a_text_that_ends_is_printed_without_its_end(server: Served, route: str) -> None:
    done = generate(url(server, route), "--prompt", PROMPT)
    assert done.stdout == f"Output: {TO_THE_END}\n", done.stderr


@pytest.mark.parametrize("route", ROUTES)
def test_a_stream_prints_the_same(server: Served, route: str) -> None:
    done = generate(url(server, route), "--prompt", PROMPT, "--stream")
    assert done.stdout == f"Output: {TO_THE_END}\n", done.stderr


@pytest.mark.parametrize("route", ROUTES)
def test_a_stream_comes_token_by_token(streaming_server: Served, route: str) -> None:
    with client(streaming_server, route) as asked:
        chunks = list(asked.stream(PROMPT))
    ids = GOLDEN["to_the_end"]["output_ids"]
    assert [list(chunk.output_ids) for chunk in chunks] == [*([token] for token in ids), []]
    assert "".join(chunk.text for chunk in chunks) == GOLDEN["to_the_end"]["text"]
    whole = chunks[-1].generation
    assert whole
    assert (list(whole.output_ids), whole.finish) == (ids, Finish.END)


@pytest.mark.parametrize("route", ROUTES)
def test_json_has_ids_lengths_and_timings(plain_server: Served, route: str) -> None:
    done = generate(
        *(url(plain_server, route), "--prompt", PROMPT, "--output-length", LENGTH),
        *("--json", "--log-probs"),
    )
    document = json.loads(done.stdout)
    [result] = document["results"]
    [completion] = result["completions"]
    assert result["prompt_ids"] == GOLDEN["input_ids"]
    assert result["prompt_length"] == 6
    assert completion["text"] == GOLDEN["text"]
    assert completion["output_ids"] == GOLDEN["output_ids"]
    assert completion["output_length"] == 38
    assert completion["finish"] == "length"
    assert completion["cum_log_prob"] < 0
    assert len(completion["log_probs"]) == 38
    assert set(document["seconds"]) == {"ready", "generation"}


def test_a_stream_as_json_is_a_line_a_piece_and_then_the_whole(streaming_server: Served) -> None:
    done = generate(
        *(url(streaming_server, "grpc"), "--prompt", PROMPT, "--output-length", LENGTH),
        *("--stream", "--json"),
    )
    *pieces, document = map(json.loads, done.stdout.splitlines())
    assert [piece["output_ids"] for piece in pieces] == [[t] for t in GOLDEN["output_ids"]]
    assert document["results"][0]["completions"][0]["text"] == GOLDEN["text"]
    assert 0 < document["seconds"]["first_token"] < document["seconds"]["generation"]


@pytest.mark.parametrize("route", ROUTES)
def test_prompts_of_different_lengths_get_the_answers_that_they_get_alone(
    server: Served, route: str
) -> None:
    prompts = [PROMPT, "Jack and Jill", "Twinkle, twinkle, little"]
    with client(server, route) as asked:
        together = asked.generate(prompts, output_length=24)
        alone = [asked.generate([prompt], output_length=24)[0] for prompt in prompts]
    assert together == alone
    assert together[0].text == GOLDEN["text"][: len(together[0].text)]
    assert len({generation.text for generation in together}) == 3


@pytest.mark.parametrize("route", ROUTES)
def test_a_stop_word_ends_the_text_and_stays_in_it(server: Served, route: str) -> None:
    done = generate(url(server, route), "--prompt", PROMPT, "--stop", "snow", "--stop", "nowhere")
    assert done.stdout == f"Output: {PROMPT} Its fleece is white as snow\n", done.stderr


def test_a_stop_word_is_the_reason_in_a_stream(streaming_server: Served) -> None:
    with client(streaming_server, "http") as asked:
        *_, last = asked.stream(PROMPT, stop=["snow"])
    assert last.generation
    assert last.generation.finish is Finish.STOP
    assert last.generation.text == " Its fleece is white as snow"


@pytest.mark.parametrize("route", ROUTES)
def test_a_bad_word_does_not_occur(plain_server: Served, route: str) -> None:
    done = generate(url(plain_server, route), "--prompt", PROMPT, "--bad", "fleece")
    assert done.stdout.startswith(f"Output: {PROMPT} Its"), done.stderr
    assert "fleece" not in done.stdout


@pytest.mark.parametrize("route", ROUTES)
def test_beams_come_best_first(server: Served, route: str) -> None:
    with client(server, route) as asked:
        [generation] = asked.generate([PROMPT], output_length=12, beam_width=3, log_probs=True)
    assert GOLDEN["text"].startswith(generation.texts[0])
    assert len(set(generation.texts)) == 3
    scores = [completion.cum_log_prob or 0 for completion in generation.completions]
    assert scores == sorted(scores, reverse=True)


def test_draws_repeat_with_their_seed(plain_server: Served) -> None:
    with client(plain_server, "grpc") as asked:
        texts = {
            seed: [
                asked.generate([PROMPT], output_length=24, temperature=9.0, top_k=50, seed=seed)[0]
                for _ in range(2)
            ]
            for seed in (1, 2**64 - 1)
        }
    for first, again in texts.values():
        assert first.output_ids == again.output_ids
    assert texts[1][0].output_ids != texts[2**64 - 1][0].output_ids


@pytest.mark.parametrize("route", ROUTES)
def test_every_parameter_is_accepted(server: Served, route: str) -> None:
    with client(server, route) as asked:
        [generation] = asked.generate(
            [PROMPT],
            output_length=8,
            top_k=5,
            top_p=0.9,
            temperature=0.7,
            repetition_penalty=1.1,
            min_length=8,
            seed=7,
            beam_width=1,
            len_penalty=1.0,
            beam_search_diversity_rate=0.0,
            stop=["nowhere"],
            bad=["fleece"],
            log_probs=True,
            end_id=NEVER_GENERATED,
        )
        penalised = asked.generate([PROMPT], output_length=2, presence_penalty=0.5)
    assert len(generation.output_ids) == 8
    assert len(penalised[0].output_ids) == 2


@pytest.mark.parametrize("route", ROUTES)
def test_a_model_that_the_server_does_not_have_is_told_at_once(
    plain_server: Served, route: str
) -> None:
    done = generate(url(plain_server, route), "--prompt", PROMPT, "--model", "gpt-5")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: {url(plain_server, route)} has no model 'gpt-5'. Name one that it serves, as its "
        "log lists them\n"
    )


@pytest.mark.parametrize(("route", "other"), [("http", "grpc"), ("grpc", "http")])
def test_the_other_protocols_port_is_told_as_such(
    plain_server: Served, route: str, other: str
) -> None:
    address = f"{route}://{getattr(plain_server, other)}"
    done = generate(address, "--prompt", PROMPT, "--wait", "0")
    assert done.returncode == 1
    assert "port" in done.stderr


@pytest.mark.parametrize("route", ROUTES)
def test_a_benchmark_counts_the_tokens_of_every_request(
    streaming_server: Served, route: str
) -> None:
    done = ft_serving(
        *("benchmark", "--url", url(streaming_server, route), "--tokenizer", str(TINY_GPTJ)),
        *("--concurrency", "1,4", "--requests", "8", "--output-length", "8"),
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[2:]]
    assert [row[:3] for row in rows] == [["1", "8", "0"], ["4", "8", "0"]]
    assert all(float(row[3]) > 0 for row in rows)


@pytest.mark.parametrize("route", ROUTES)
def test_the_model_tells_its_vocabulary_its_end_and_its_source(
    plain_server: Served, route: str
) -> None:
    with client(plain_server, route) as asked:
        model = asked.model()
    assert (model.vocabulary, model.end_id) == (1024, 1)
    assert (model.source or "").startswith("tiny-gptj@")


def test_a_request_of_the_original_example_is_answered(
    plain_server: Served, tmp_path: Path
) -> None:
    file = tmp_path / "sample_request.json"
    file.write_text(json.dumps({"request": SAMPLE}))
    options = ("--request", str(file), "--prompt", PROMPT, "--top-k", "1")
    done = generate(url(plain_server, "http"), *options)
    assert done.stdout.startswith(f"Output: {PROMPT} Its fleece is white"), done.stderr
