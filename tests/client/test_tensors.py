"""Input tensors, value by value, and the model that they are for."""

import pytest

from ft_serving.client.errors import ClientError, InvalidRequestError
from ft_serving.client.model import ModelDescription
from ft_serving.client.tensors import check_prompts, encode, encode_words
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.parameters import Parameters
from tests.client.fake_triton import config

UINT32 = ModelDescription.from_config(config("UINT32"))
LIMITED = ModelDescription.from_config(
    config(limits=LengthLimits(context_length=512, input_length=300, output_length=40))
)
OLD = config("INT32")
for each in OLD["input"]:
    each["data_type"] = each["data_type"].replace("UINT64", "INT32")
NO_WORDS: dict[str, list[list[int]]] = {}


def test_every_parameter_becomes_its_tensor_with_a_value_a_row() -> None:
    parameters: Parameters = {
        "output_length": 9,
        "top_k": 4,
        "top_p": 0.5,
        "temperature": 0.25,
        "presence_penalty": -1.5,
        "min_length": 2,
        "seed": 2**64 - 1,
        "beam_width": 3,
        "len_penalty": 1.0,
        "beam_search_diversity_rate": 0.125,
        "log_probs": True,
        "end_id": 1,
    }
    inputs = encode(UINT32, [[5], [6]], parameters, NO_WORDS)
    assert all(tensor.shape == (2, 1) for tensor in inputs.values())
    values = {name: (tensor[1].item(), str(tensor.dtype)) for name, tensor in inputs.items()}
    assert values == {
        "input_ids": (6, "uint32"),
        "input_lengths": (1, "uint32"),
        "request_output_len": (9, "uint32"),
        "runtime_top_k": (4, "uint32"),
        "runtime_top_p": (0.5, "float32"),
        "temperature": (0.25, "float32"),
        "presence_penalty": (-1.5, "float32"),
        "min_length": (2, "int32"),
        "random_seed": (2**64 - 1, "uint64"),
        "beam_width": (3, "uint32"),
        "len_penalty": (1.0, "float32"),
        "beam_search_diversity_rate": (0.125, "float32"),
        "is_return_log_probs": (True, "bool"),
        "end_id": (1, "uint32"),
    }


def test_words_are_their_tokens_and_their_ends_padded_with_minus_one() -> None:
    # The example of fastertransformer_backend's documentation of the lists.
    assert encode_words([[5, 6], [7]]) == [[5, 6, 7], [2, 3, -1]]
    assert encode_words([[5], [7]]) == [[5, 7], [1, 2]]


def test_prompts_that_cannot_be_sent_are_told_all_at_once() -> None:
    with pytest.raises(InvalidRequestError, match="there is no prompt"):
        check_prompts([])
    with pytest.raises(InvalidRequestError) as refused:
        check_prompts([[5], [], [5, -1], [2**31 - 1], [2**32]])
    assert [line.strip() for line in str(refused.value).splitlines()[1:]] == [
        "prompt 2: is empty",
        "prompt 3: must be token ids from 0 to 2147483647; got -1",
        "prompt 5: must be token ids from 0 to 2147483647; got 4294967296",
    ]


def test_a_request_asks_for_64_tokens_or_as_many_as_the_service_gives() -> None:
    assert encode(LIMITED, [[5]], {}, NO_WORDS)["request_output_len"].tolist() == [[40]]
    assert encode(UINT32, [[5]], {}, NO_WORDS)["request_output_len"].tolist() == [[64]]
    flag: Parameters = {"log_probs": False}
    assert len(encode(UINT32, [[5]], flag, {"stop": [], "bad": []})) == 3, "nothing else is sent"


@pytest.mark.parametrize("context", [2048, 512], ids=["GPT-J's", "the server's"])
def test_prompt_and_answer_may_fill_the_models_context_exactly(context: int) -> None:
    limits = LengthLimits(context_length=None if context == 2048 else context)
    model = ModelDescription.from_config(config(limits=limits))
    assert encode(model, [[5] * (context - 48)], {"output_length": 48}, NO_WORDS)
    with pytest.raises(InvalidRequestError, match=f"longer than the {context} that the model can"):
        encode(model, [[5] * (context - 48)], {"output_length": 49}, NO_WORDS)


@pytest.mark.parametrize(
    ("model", "prompts", "parameters", "words", "problems"),
    [
        (
            config(limits=LengthLimits(input_length=300, output_length=40)),
            [[5], [5] * 301],
            {"output_length": 41},
            {},
            [
                "prompt 1: an answer of 41 tokens is longer than the 40",
                "prompt 2: a prompt of 301 tokens is longer than the 300",
            ],
        ),
        (config(), [[5]] * 5, {}, {}, ["a request may have 4 prompts; got 5"]),
        (
            config(without="presence_penalty"),
            [[5]],
            {"presence_penalty": 0.5},
            {},
            ["presence_penalty: the server's model 'fastertransformer' has no input"],
        ),
        (config(without="stop_words_list"), [[5]], {}, {"stop": [[7]]}, ["stop: the server's"]),
        (config(), [[5]], {}, {"bad": [[7, 0]]}, ["bad: FasterTransformer cannot forbid a word"]),
        (OLD, [[5]], {"seed": 2**31}, {}, ["seed: the server takes it as INT32, at most 21474"]),
    ],
)
def test_what_the_served_model_does_not_take_is_told_before_it_is_sent(
    model: dict[str, object],
    prompts: list[list[int]],
    parameters: Parameters,
    words: dict[str, list[list[int]]],
    problems: list[str],
) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        encode(ModelDescription.from_config(model), prompts, parameters, words)
    told = [line.strip() for line in str(refused.value).splitlines()[1:]]
    for line, problem in zip(told, problems, strict=True):
        assert line.startswith(problem)


def test_an_input_that_cannot_be_made_is_named() -> None:
    strict = config()
    for tensor in strict["input"]:
        tensor["optional"] = tensor["optional"] and tensor["name"] != "start_id"
    with pytest.raises(ClientError, match="requires inputs that this client does not send: start"):
        encode(ModelDescription.from_config(strict), [[5]], {}, NO_WORDS)
    with pytest.raises(ClientError, match=r"declares [a-z_]+ as FP16; known are BOOL"):
        encode(ModelDescription.from_config(config("FP16")), [[5]], {}, NO_WORDS)


def test_a_model_of_another_kind_is_refused_with_what_it_lacks() -> None:
    other = config(without="input_lengths") | {"max_batch_size": 0, "output": [{"name": "logits"}]}
    lacks = (
        r"lacks input input_lengths, output output_ids, output sequence_length, a batch dimension "
        r"\(max_batch_size\); name another model"
    )
    with pytest.raises(ClientError, match=lacks):
        ModelDescription.from_config(other)


@pytest.mark.parametrize("answer", [{}, {"name": "x", "input": 3}, {"name": "x", "input": [{}]}])
def test_an_answer_that_is_no_configuration_is_refused(answer: dict[str, object]) -> None:
    with pytest.raises(ClientError, match="no configuration of a model"):
        ModelDescription.from_config(answer)
