"""Text and tokens, by tiny-gptj's byte-level tokenizer and by ones that do not fit a model."""

import random
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from ft_serving.client import Finish, GenerationClient
from ft_serving.client.errors import InvalidRequestError, TokenizerError
from ft_serving.client.model import ModelDescription
from ft_serving.client.text import TextStream, check_tokenizer, decode, encode_word
from ft_serving.client.tokenizer import DEFAULT_TOKENIZER
from tests.client.conftest import TOKENIZER, client
from tests.client.fake_triton import TEXT, FakeTriton, config

LAMB = [448]
SHEEP = [174, 255, 240, 241]
"""A sheep's emoji: four bytes, none of them a character."""


@pytest.mark.parametrize(
    ("tokens", "pieces", "rest"),
    [
        ([*LAMB, *SHEEP, *LAMB], [" lamb", "", "", "", "\N{SHEEP}", " lamb"], ""),
        ([*LAMB, *SHEEP[:2]], [" lamb", "", ""], "\N{REPLACEMENT CHARACTER}"),
        ([*SHEEP[:2], *LAMB], ["", "", "\N{REPLACEMENT CHARACTER} lamb"], ""),
    ],
    ids=["whole character", "never a character", "broken bytes"],
)
def test_a_character_of_several_bytes_comes_only_when_it_is_whole(
    tokens: list[int], pieces: list[str], rest: str
) -> None:
    stream = TextStream(TOKENIZER)
    assert [stream.add([token]) for token in tokens] == pieces
    assert stream.end() == rest


def test_the_pieces_are_the_text_whatever_the_tokens() -> None:
    choice = random.Random(0)
    for _ in range(200):
        # Bytes above 127 mostly: they break characters in every way there is.
        ids = [
            choice.choice([choice.randrange(98, 260), choice.randrange(1000)]) for _ in range(24)
        ]
        pieces = TextStream(TOKENIZER)
        text = "".join(pieces.add([token]) for token in ids) + pieces.end()
        assert text == decode(TOKENIZER, ids), ids


def test_special_tokens_and_ids_without_text_are_not_in_the_text() -> None:
    assert decode(TOKENIZER, [*LAMB, 1, 0, 1023]) == " lamb"


@pytest.mark.parametrize(
    ("word", "forms"), [("lamb", [(77, 66, 354), (448,)]), (" lamb", [(448,)]), ("\n", [(200,)])]
)
def test_a_word_is_found_by_itself_and_behind_a_space(
    word: str, forms: list[tuple[int, ...]]
) -> None:
    assert encode_word(TOKENIZER, word) == forms


COMMIT = "0" * 40
GPT_J = Tokenizer(BPE(vocab={str(token): token for token in range(50257)}, merges=[]))
TINY = {"vocab_size": "1024", "end_id": "1", "weights_source": f"tiny-gptj@{COMMIT}"}
KOREAN = {"vocab_size": "64512", "end_id": "1", "weights_source": f"acme/korean-gpt-j@{COMMIT}"}
TUNED = {"vocab_size": "50400", "weights_source": "acme/tuned@main"}


@pytest.mark.parametrize(
    ("source", "said", "verdict"),
    [
        (DEFAULT_TOKENIZER, TINY, f"refused: .*--tokenizer tiny-gptj@{COMMIT} where the hub"),
        ("a/tokenizer.json", TINY, "refused: .*has 50257 tokens; the served model has 1024"),
        (None, TINY, "refused: The tokenizer that was given has"),
        # Sources without a revision are not taken for the same.
        ("tokenizer.json", {**TINY, "weights_source": "tiny-gptj"}, "refused: The tokenizer"),
        (DEFAULT_TOKENIZER, KOREAN, f"refused: .*--tokenizer acme/korean-gpt-j@{COMMIT}"),
        ("mine.json", KOREAN, "Is it the model's own?"),
        (DEFAULT_TOKENIZER, TUNED, "made from acme/tuned@main"),
        (DEFAULT_TOKENIZER, {**TUNED, "vocab_size": "50257"}, "made from acme/tuned@main"),
        ("acme/tuned@main", TUNED, None),
        ("mine.json", TUNED, None),
        (DEFAULT_TOKENIZER, {**TUNED, "weights_source": "EleutherAI/gpt-j-6B@float16"}, None),
        (DEFAULT_TOKENIZER, {"vocab_size": "50400"}, None),
        (DEFAULT_TOKENIZER, {"vocab_size": "many", "end_id": "-1"}, None),
        (DEFAULT_TOKENIZER, {}, None),
    ],
)
def test_a_tokenizer_is_compared_with_what_the_server_says_of_its_model(
    source: str | None, said: dict[str, str], verdict: str | None
) -> None:
    model = ModelDescription.from_config(config(parameters=said))
    if verdict and verdict.startswith("refused: "):
        with pytest.raises(TokenizerError, match=verdict.removeprefix("refused: ")):
            check_tokenizer(GPT_J, source, model)
        return
    doubt = check_tokenizer(GPT_J, source, model)
    assert (verdict is None) is (doubt is None)
    assert (verdict or "") in (doubt or "")


def test_texts_are_not_sent_by_a_tokenizer_that_does_not_fit_and_token_ids_are(
    over_http: FakeTriton,
) -> None:
    over_http.model = config(parameters=TINY)
    asked = GenerationClient(over_http.url, tokenizer=GPT_J, wait_s=0)
    [[completion]] = asked.generate_ids([[690]], output_length=2)
    assert list(completion.output_ids) == TEXT[:2]
    for ask in (lambda: asked.generate(["1"]), lambda: next(asked.stream("1"))):
        with pytest.raises(TokenizerError):
            ask()
    assert over_http.asked == ["config", "infer"]


def test_a_doubt_is_said_once(over_http: FakeTriton) -> None:
    said: list[str] = []
    over_http.model = config(parameters=KOREAN)
    asked = GenerationClient(over_http.url, tokenizer=TOKENIZER, wait_s=0, say=said.append)
    asked.generate(["Mary"])
    asked.generate(["Mary"])
    assert len(said) == 1


@pytest.mark.parametrize("decoupled", [False, True])
@pytest.mark.parametrize(
    "parameters", [{"end_id": str(TEXT[3])}, {}], ids=["told by the server", "seen in the answer"]
)
def test_an_end_token_that_is_no_special_token_is_not_printed(
    over_http: FakeTriton, decoupled: bool, parameters: dict[str, str]
) -> None:
    over_http.model = config(decoupled=decoupled, parameters=parameters)
    over_http.end_id = TEXT[3]
    with client(over_http) as asked:
        [generation] = asked.generate(["Mary"], output_length=8)
        [full] = asked.generate(["Mary"], output_length=4)
        *_, last = chunks = list(asked.stream("Mary", output_length=8))
    assert (generation.text, generation.finish) == (" Its fleece", Finish.END)
    assert list(generation.output_ids) == TEXT
    assert full.finish is (Finish.END if parameters else Finish.LENGTH), "the last token asked for"
    assert last.generation == generation
    assert "".join(chunk.text for chunk in chunks) == " Its fleece"


def test_another_librarys_tokenizer_is_refused_with_the_object_to_give() -> None:
    class PreTrainedTokenizerFast:
        pass

    with pytest.raises(TokenizerError, match=r"got PreTrainedTokenizerFast .*backend_tokenizer"):
        GenerationClient("localhost", tokenizer=PreTrainedTokenizerFast())  # type: ignore[arg-type]


def test_prompts_of_another_type_are_refused() -> None:
    asked: Any = GenerationClient("localhost", tokenizer=TOKENIZER)
    for texts in (5, [None], [b"Mary"], [5]):
        with pytest.raises(InvalidRequestError):
            asked.generate(texts)
    for ids in (5, [690, 513], [[1.5]], ["Mary"], [None], [np.eye(2)]):
        with pytest.raises(InvalidRequestError, match="token ids; got"):
            asked.generate_ids(ids)


def test_numbers_and_arrays_of_numpy_are_sent_as_pythons(over_http: FakeTriton) -> None:
    asked: Any = GenerationClient(over_http.url, tokenizer=TOKENIZER, wait_s=0)
    parameters = {"output_length": np.int64(2), "temperature": np.float32(0.5)}
    for ids in (np.array([690, 513]), [np.uint32(690), np.int64(513)], (690, 513)):
        asked.generate_ids([ids], **parameters, log_probs=np.bool_(True))
        sent = over_http.requests[-1].inputs
        assert sent["input_ids"].data == [690, 513]
        assert (sent["request_output_len"].data, sent["temperature"].data) == ([2], [0.5])
        assert sent["is_return_log_probs"].data == [True]
    [generation] = asked.generate(np.array(["Mary"]), **parameters)
    assert list(generation.output_ids) == TEXT[:2]
    with pytest.raises(InvalidRequestError, match=r"top_k: must be a whole number .*; got 1.5"):
        asked.generate_ids([[690]], top_k=np.float64(1.5))
