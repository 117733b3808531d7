"""A tokenizer, and what the served model says of its own."""

from collections.abc import Mapping

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from ft_serving.client import Finish, GenerationClient
from ft_serving.client.errors import TokenizerError
from ft_serving.client.fit import check_tokenizer
from ft_serving.client.model import ModelDescription
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER
from tests.client.asking import TOKENIZER
from tests.client.fake_triton import TEXT, FakeTriton, config

COMMIT = "0" * 40
TINY = {"vocab_size": "1024", "end_id": "1", "weights_source": f"tiny-gptj@{COMMIT}"}
KOREAN = {"vocab_size": "64512", "end_id": "1", "weights_source": f"acme/korean-gpt-j@{COMMIT}"}


def tokenizer(tokens: int) -> Tokenizer:
    return Tokenizer(BPE(vocab={str(token): token for token in range(tokens)}, merges=[]))


GPT_J = tokenizer(50257)


def model(parameters: Mapping[str, str]) -> ModelDescription:
    return ModelDescription.from_config(config(parameters=parameters))


def test_sources_without_a_revision_are_not_taken_for_the_same() -> None:
    served = model({**TINY, "weights_source": "tiny-gptj"})
    with pytest.raises(TokenizerError):
        check_tokenizer(GPT_J, "tokenizer.json", served)


@pytest.mark.parametrize("source", [DEFAULT_TOKENIZER, "a/tokenizer.json", None])
def test_a_tokenizer_that_is_larger_than_the_model_is_refused_with_the_right_one(
    source: str | None,
) -> None:
    with pytest.raises(TokenizerError) as caught:
        check_tokenizer(GPT_J, source, model(TINY))
    said = str(caught.value)
    assert "has 50257 tokens; the served model has 1024" in said
    assert f"--tokenizer FILE, or --tokenizer tiny-gptj@{COMMIT} where the hub has it" in said


def test_a_forgotten_tokenizer_is_refused_where_the_model_has_far_more_tokens() -> None:
    with pytest.raises(TokenizerError, match=f"--tokenizer acme/korean-gpt-j@{COMMIT}"):
        check_tokenizer(GPT_J, DEFAULT_TOKENIZER, model(KOREAN))


def test_one_that_was_named_is_doubted_only() -> None:
    doubt = check_tokenizer(GPT_J, "mine.json", model(KOREAN))
    assert doubt
    assert "Is it the model's own?" in doubt


@pytest.mark.parametrize("vocabulary", ["50257", "50400", "50258"])
def test_a_fine_tuned_models_user_is_told_which_tokenizer_is_taken(vocabulary: str) -> None:
    served = model({"vocab_size": vocabulary, "weights_source": "acme/tuned@main"})
    doubt = check_tokenizer(GPT_J, DEFAULT_TOKENIZER, served)
    assert doubt
    assert "made from acme/tuned@main" in doubt
    assert check_tokenizer(GPT_J, "acme/tuned@main", served) is None
    assert check_tokenizer(GPT_J, "mine.json", served) is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"vocab_size": "50400", "weights_source": "EleutherAI/gpt-j-6B@float16"},
        {"vocab_size": "50400"},
        {"vocab_size": "many", "end_id": "-1"},
        {},
    ],
)
def test_the_models_own_tokenizer_and_servers_that_say_nothing_pass(
    parameters: Mapping[str, str],
) -> None:
    assert check_tokenizer(GPT_J, DEFAULT_TOKENIZER, model(parameters)) is None


def test_nothing_is_sent_for_a_tokenizer_that_does_not_fit() -> None:
    with FakeTriton(config(parameters=TINY)) as triton:
        client = GenerationClient(triton.url, tokenizer=GPT_J, wait_s=0)
        with pytest.raises(TokenizerError):
            client.generate(["1"])
        assert triton.paths == ["config"]
        stream = client.stream("1")
        with pytest.raises(TokenizerError):
            next(stream)
        assert triton.paths == ["config"]


def test_who_sends_token_ids_needs_no_tokenizer_that_fits() -> None:
    with FakeTriton(config(parameters=TINY)) as triton:
        client = GenerationClient(triton.url, tokenizer=GPT_J, wait_s=0)
        [[completion]] = client.generate_ids([[690]], output_length=2)
        assert list(completion.output_ids) == TEXT[:2]


def test_a_doubt_is_said_once() -> None:
    said: list[str] = []
    with FakeTriton(config(parameters=KOREAN)) as triton:
        client = GenerationClient(triton.url, tokenizer=TOKENIZER, wait_s=0, say=said.append)
        client.generate(["Mary"])
        client.generate(["Mary"])
    assert len(said) == 1


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(
    "parameters", [{"end_id": str(TEXT[3])}, {}], ids=["told by the server", "seen in the answer"]
)
def test_an_end_token_that_is_no_special_token_is_not_printed(
    decoupled: bool, parameters: Mapping[str, str]
) -> None:
    """TEXT's last token as the one that ends texts, which the tokenizer has as a word."""
    with FakeTriton(config(decoupled=decoupled, parameters=parameters), end_id=TEXT[3]) as triton:
        client = GenerationClient(triton.url, tokenizer=TOKENIZER, wait_s=0)
        [generation] = client.generate(["Mary"], output_length=8)
        assert (generation.text, generation.finish) == (" Its fleece", Finish.END)
        assert list(generation.output_ids) == TEXT
        *_, last = chunks = list(client.stream("Mary", output_length=8))
        assert last.generation == generation
        assert "".join(chunk.text for chunk in chunks) == " Its fleece"
