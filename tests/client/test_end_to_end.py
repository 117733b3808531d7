"""The command line and the library against a Triton that serves tiny-gptj."""

import json

import pytest

from ft_serving.client import Finish, GenerationClient
from tests.command_line import Done, run_here
from tests.serving import GOLDEN, NEVER_GENERATED, TINY_GPTJ, Served

pytestmark = pytest.mark.slow

PROMPT: str = GOLDEN["prompt"]
WHOLE = GOLDEN["to_the_end"]


@pytest.fixture(params=["plain_server", "streaming_server"])
def server(request: pytest.FixtureRequest) -> Served:
    """Both kinds of server in turn."""
    found: Served = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, server: Served) -> str:
    """The server's address, for each protocol in turn."""
    return f"{request.param}://{getattr(server, request.param)}"


def generate(url: str, *options: str) -> Done:
    tokenizer = ("--tokenizer", str(TINY_GPTJ))
    return run_here("generate", "--url", url, *tokenizer, "--prompt", PROMPT, *options)


def client(url: str) -> GenerationClient:
    return GenerationClient(url, tokenizer=TINY_GPTJ)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--output-length", str(GOLDEN["request_output_len"])], GOLDEN["text"]),
        ([], WHOLE["text"]),
        (["--stream"], WHOLE["text"]),
        (["--stop", "snow", "--stop", "nowhere"], " Its fleece is white as snow"),
    ],
)
def test_the_prompt_is_answered_with_the_golden_text(
    url: str, options: list[str], text: str
) -> None:
    done = generate(url, *options)
    assert (done.returncode, done.stdout) == (0, f"Output: {PROMPT}{text}\n"), done.stderr


@pytest.mark.parametrize("route", ["http", "grpc"])
def test_a_stream_comes_token_by_token(streaming_server: Served, route: str) -> None:
    with client(f"{route}://{getattr(streaming_server, route)}") as asked:
        *chunks, last = asked.stream(PROMPT)
        *_, stopped = asked.stream(PROMPT, stop=["snow"])
    assert [chunk.output_ids for chunk in chunks] == [(token,) for token in WHOLE["output_ids"]]
    assert "".join(chunk.text for chunk in chunks) == WHOLE["text"]
    assert last.generation
    assert last.generation.finish is Finish.END
    assert stopped.generation
    assert stopped.generation.finish is Finish.STOP


def test_json_has_ids_lengths_and_timings(url: str) -> None:
    done = generate(url, "--output-length", "38", "--json", "--log-probs")
    document = json.loads(done.stdout)
    [result] = document["results"]
    [completion] = result["completions"]
    assert (result["prompt_ids"], result["prompt_length"]) == (GOLDEN["input_ids"], 6)
    assert (completion["text"], completion["output_ids"]) == (GOLDEN["text"], GOLDEN["output_ids"])
    assert (completion["output_length"], completion["finish"]) == (38, "length")
    assert completion["cum_log_prob"] < 0
    assert len(completion["log_probs"]) == 38
    assert set(document["seconds"]) == {"ready", "generation"}


def test_a_stream_as_json_is_a_line_a_piece_and_then_the_whole(streaming_server: Served) -> None:
    done = generate(
        f"grpc://{streaming_server.grpc}", "--output-length", "38", "--stream", "--json"
    )
    *pieces, document = map(json.loads, done.stdout.splitlines())
    assert [piece["output_ids"] for piece in pieces] == [[t] for t in GOLDEN["output_ids"]]
    assert document["results"][0]["completions"][0]["text"] == GOLDEN["text"]
    assert 0 < document["seconds"]["first_token"] < document["seconds"]["generation"]


def test_prompts_of_different_lengths_get_the_answers_that_they_get_by_themselves(
    url: str,
) -> None:
    prompts = [PROMPT, "Jack and Jill", "Twinkle, twinkle, little"]
    with client(url) as asked:
        together = asked.generate(prompts, output_length=24)
        each = [asked.generate([prompt], output_length=24)[0] for prompt in prompts]
    assert together == each
    assert len({generation.text for generation in together}) == 3


def test_beams_come_best_first(url: str) -> None:
    with client(url) as asked:
        [generation] = asked.generate([PROMPT], output_length=12, beam_width=3, log_probs=True)
    assert GOLDEN["text"].startswith(generation.texts[0])
    assert len(set(generation.texts)) == 3
    scores = [completion.cum_log_prob or 0 for completion in generation.completions]
    assert scores == sorted(scores, reverse=True)


def test_every_parameter_is_accepted_and_draws_repeat_with_their_seed(url: str) -> None:
    def drawn(seed: int) -> tuple[int, ...]:
        [generation] = asked.generate(
            [PROMPT],
            output_length=8,
            top_k=50,
            top_p=0.99,
            temperature=9.0,
            repetition_penalty=1.1,
            min_length=8,
            seed=seed,
            beam_width=1,
            len_penalty=1.0,
            beam_search_diversity_rate=0.0,
            stop=["nowhere"],
            bad=["fleece"],
            log_probs=True,
            end_id=NEVER_GENERATED,
        )
        assert len(generation.output_ids) == 8
        assert "fleece" not in generation.text
        return generation.output_ids

    with client(url) as asked:
        assert drawn(1) == drawn(1) != drawn(2**64 - 1)
        [penalised] = asked.generate([PROMPT], output_length=2, presence_penalty=0.5)
        model = asked.model()
    assert len(penalised.output_ids) == 2
    assert (model.vocabulary, model.end_id) == (1024, 1)
    assert (model.source or "").startswith("tiny-gptj@")


def test_what_the_address_does_not_have_is_told_at_once(url: str) -> None:
    done = generate(url, "--model", "gpt-5")
    assert done.returncode == 1
    assert f"{url} has no model 'gpt-5'. Name one that it serves" in done.stderr
