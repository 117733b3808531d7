"""What the library's methods are called with, of this and of other libraries."""

from typing import Any

import numpy as np
import pytest

from ft_serving.client import GenerationClient
from ft_serving.client.errors import InvalidRequestError, TokenizerError
from tests.client.asking import TOKENIZER
from tests.client.fake_triton import TEXT, FakeTriton


def test_another_librarys_tokenizer_is_refused_with_the_object_to_give() -> None:
    class PreTrainedTokenizerFast:
        pass

    with pytest.raises(TokenizerError, match=r"got PreTrainedTokenizerFast .*backend_tokenizer"):
        GenerationClient("localhost", tokenizer=PreTrainedTokenizerFast())  # type: ignore[arg-type]


@pytest.mark.parametrize("prompts", [5, [None], [b"Mary"], [5]])
def test_prompts_that_are_no_texts_are_refused(prompts: object) -> None:
    client = GenerationClient("localhost", tokenizer=TOKENIZER)
    with pytest.raises(InvalidRequestError):
        client.generate(prompts)  # type: ignore[arg-type]


@pytest.mark.parametrize("prompts", [5, [690, 513], [[1.5]], ["Mary"], [None], [np.eye(2)]])
def test_prompts_that_are_no_token_ids_are_refused(prompts: object) -> None:
    client = GenerationClient("localhost", tokenizer=TOKENIZER)
    with pytest.raises(InvalidRequestError, match="token ids; got"):
        client.generate_ids(prompts)  # type: ignore[arg-type]


def test_numbers_and_arrays_of_numpy_are_sent_as_pythons(triton: FakeTriton) -> None:
    client = GenerationClient(triton.url, tokenizer=TOKENIZER, wait_s=0)
    parameters: Any = {
        "output_length": np.int64(2),
        "temperature": np.float32(0.5),
        "log_probs": np.bool_(True),
    }
    lists: list[Any] = [np.array([690, 513]), [np.uint32(690), np.int64(513)], (690, 513)]
    for ids in lists:
        [[completion]] = client.generate_ids([ids], **parameters)
        assert list(completion.output_ids) == TEXT[:2]
        sent = {tensor["name"]: tensor["data"] for tensor in triton.requests[-1].body["inputs"]}
        assert sent["input_ids"] == [690, 513]
        assert (sent["request_output_len"], sent["temperature"]) == ([2], [0.5])
        assert sent["is_return_log_probs"] == [True]
    [generation] = client.generate(np.array(["Mary"]), **parameters)
    assert list(generation.output_ids) == TEXT[:2]
    with pytest.raises(InvalidRequestError, match=r"top_k: must be a whole number .*; got 1.5"):
        client.generate_ids([[690]], top_k=np.float64(1.5))  # type: ignore[arg-type]
