"""tiny-gptj is what its model card says, and any right GPT-J gives its golden answer."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from tests.oracles import gptj

MODEL = Path(__file__).parents[2] / "models" / "tiny-gptj"
EXPECTED_LOGITS = Path(__file__).parents[1] / "data" / "tiny-gptj-logits.json"
FASTER_TRANSFORMER_EPSILON = 1e-6

Weights = dict[str, NDArray[np.float32]]


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def weights() -> Weights:
    return load_file(MODEL / "model.safetensors")


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return dict(read_json(MODEL / "config.json"))


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(read_json(MODEL / "golden.json"))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(MODEL / "tokenizer.json"))


def to_bf16(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut to bf16's 16 bits, the coarsest rounding that a converter may do."""
    return (array.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def test_the_config_is_a_gptj_that_one_two_or_four_gpus_can_share(config: dict[str, Any]) -> None:
    expected = {
        "model_type": "gptj",
        "architectures": ["GPTJForCausalLM"],
        "vocab_size": 1024,
        "n_embd": 128,
        "n_head": 4,
        "n_layer": 4,
        "n_inner": None,
        "n_positions": 512,
        "rotary_dim": 16,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 1,
        "torch_dtype": "float32",
    }
    assert {key: config[key] for key in expected} == expected


def test_the_logits_are_those_of_hugging_face(weights: Weights, config: dict[str, Any]) -> None:
    expected = read_json(EXPECTED_LOGITS)
    for case in expected["prompts"]:
        found = gptj.logits(
            weights, config, case["input_ids"], epsilon=expected["layer_norm_epsilon"]
        )
        np.testing.assert_allclose(found[-1], case["last_position"], rtol=0, atol=2e-5)
        np.testing.assert_allclose(
            found[:, expected["sampled_tokens"]], case["sampled_tokens"], rtol=0, atol=2e-5
        )


@pytest.mark.parametrize("rounded", [np.array, np.float16, to_bf16])
@pytest.mark.parametrize("epsilon", [1e-5, FASTER_TRANSFORMER_EPSILON])
def test_every_way_to_serve_it_gives_the_golden_answer(
    weights: Weights, config: dict[str, Any], golden: dict[str, Any], rounded: Any, epsilon: float
) -> None:
    stored = {name: rounded(array) for name, array in weights.items()}
    answer = golden["to_the_end"]["output_ids"]
    assert answer[: golden["request_output_len"]] == golden["output_ids"]
    found = gptj.greedy_choices(stored, config, golden["input_ids"], answer, epsilon=epsilon)
    assert found == answer


def test_the_golden_answer_is_english_of_the_length_asked_for_and_ends_by_itself(
    golden: dict[str, Any], config: dict[str, Any], tokenizer: Tokenizer
) -> None:
    assert golden["prompt"] == "Mary has a little lamb."
    assert golden["text"] == (
        " Its fleece is white as snow, and everywhere that Mary goes, the lamb is sure to go."
        " It follows her to school one day, which is against the rule."
    )
    whole = golden["to_the_end"]
    assert whole["text"] == golden["text"] + (
        " It makes the children laugh and play to see a lamb at school."
    )
    assert len(golden["output_ids"]) == golden["request_output_len"]
    assert config["eos_token_id"] not in golden["output_ids"]
    assert len(whole["output_ids"]) < whole["request_output_len"]
    assert whole["output_ids"].index(config["eos_token_id"]) == len(whole["output_ids"]) - 1
    assert golden["minimum_logit_margin"] >= 1.0, "rounding could turn it"
    ids = [*golden["input_ids"], *whole["output_ids"]]
    assert [*tokenizer.encode(golden["prompt"] + whole["text"]).ids, 1] == ids


def test_padding_is_token_0_and_end_of_text_token_1(tokenizer: Tokenizer) -> None:
    """FasterTransformer pads with id 0 and cannot forbid it, so 0 must not be end-of-text."""
    assert tokenizer.token_to_id("<|pad|>") == 0
    assert tokenizer.token_to_id("<|endoftext|>") == 1
    text = "Grüße, 世界!\n\tfn main() { return 0; }"
    assert tokenizer.decode(tokenizer.encode(text).ids) == text, "any text survives"


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Rain, rain, go away,", "\nCome again another day."),
        (
            "Mary had a little lamb,\nIts fleece",
            " was white as snow,\nAnd everywhere that Mary went\nThe lamb was sure to go.",
        ),
    ],
)
def test_first_lines_bring_their_rhyme(
    weights: Weights, config: dict[str, Any], tokenizer: Tokenizer, prompt: str, answer: str
) -> None:
    prompt_ids = tokenizer.encode(prompt).ids
    answer_ids = tokenizer.encode(answer).ids
    found = gptj.greedy_choices(weights, config, prompt_ids, answer_ids, epsilon=1e-5)
    assert tokenizer.decode(found) == answer
