import json
from collections.abc import Callable
from typing import Any

import pytest

from ft_serving.weights.checkpoint import select
from ft_serving.weights.errors import CheckpointError

ST_INDEX = "model.safetensors.index.json"
PT_INDEX = "pytorch_model.bin.index.json"


def unread(name: str) -> bytes:
    raise AssertionError(f"{name} was read without need")


def index_of(weight_map: Any) -> Callable[[str], bytes]:
    content = json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()
    return lambda name: content


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["config.json", "model.safetensors"], ("model.safetensors",)),
        (["pytorch_model.bin", "model.safetensors", ST_INDEX], ("model.safetensors",)),
        (["pytorch_model.bin", "flax_model.msgpack", PT_INDEX], ("pytorch_model.bin",)),
    ],
)
def test_a_single_file_is_chosen_without_reading_any_index(
    names: list[str], expected: tuple[str, ...]
) -> None:
    assert select(names, unread).files == expected


@pytest.mark.parametrize(
    ("index", "others", "shards"),
    [
        (ST_INDEX, ["pytorch_model.bin"], ["model-1.safetensors", "model-2.safetensors"]),
        (PT_INDEX, ["tf_model.h5"], ["pytorch_model-00001-of-00001.bin"]),
    ],
)
def test_shards_are_chosen_with_their_index(
    index: str, others: list[str], shards: list[str]
) -> None:
    weight_map = {f"tensor of {shard}": shard for shard in reversed(shards)}
    found = select([*others, index, *reversed(shards)], index_of(weight_map)).files
    assert found == (index, *shards)


@pytest.mark.parametrize(
    ("files", "remedy"),
    [
        (["latest", "zero_to_fp32.py"], "of DeepSpeed. Run DeepSpeed's `python zero_to_fp32.py"),
        (["global_step5/mp_rank_00_model_states.pt"], "`python zero_to_fp32.py"),
        (["pytorch_model_fsdp_0/"], "`accelerate merge-weights"),
        (["gpt-j-6b.Q4_0.gguf"], "llama.cpp (GGUF, GGML). Prepare the model that it was made from"),
        (["gptq_model-4bit-128g.safetensors"], "quantized (GPTQ or AWQ)"),
        (["quantize_config.json", "model-4bit.safetensors"], "quantized (GPTQ or AWQ)"),
        (["epoch=0-step=9.ckpt"], "of PyTorch Lightning"),
        (["model.fp16.safetensors"], 'variant="fp16").save_pretrained(FOLDER)'),
        (["model.safetensors.index.fp16.json"], 'variant="fp16").save_pretrained(FOLDER)'),
        (["flax_model.msgpack"], "from_flax=True"),
        (["tf_model.h5"], "from_tf=True"),
        (["tf_model.h5"], "found config.json, tf_model.h5; needed is one of model.safetensors, "),
        (["fp16/model.safetensors"], "found config.json, fp16/model.safetensors; needed is one"),
        (["gpt-j.safetensors"], "If one of the files holds the state dict, give it one of these"),
    ],
)
def test_a_checkpoint_of_another_kind_is_told_with_what_makes_a_usable_one(
    files: list[str], remedy: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        select(["config.json", *files], unread)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        (
            b'{"peft_type": "LORA", "base_model_name_or_path": "EleutherAI/gpt-j-6b"}',
            "(peft_type 'LORA') for the model 'EleutherAI/gpt-j-6b'. Merge it with peft, Auto",
        ),
        (b'{"peft_type": "PROMPT_TUNING"}', "cannot be merged"),
        (b"[", "merge_and_unload()"),
        (b"[]", "merge_and_unload()"),
    ],
)
def test_an_adapter_is_told_with_its_model_and_how_to_merge_it(
    settings: bytes, remedy: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        select(["adapter_config.json", "adapter_model.safetensors"], lambda _: settings)
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "shard",
    [
        "/etc/model.safetensors",
        "../model-1.safetensors",
        "sub/model-1.safetensors",
        "..\\model-1.safetensors",
        "model-1.safetensors\n",
        "model\0.safetensors",
        ".safetensors",
        "",
        "model-1.bin",
    ],
)
def test_a_shard_that_is_not_a_plain_file_beside_the_index_is_refused(shard: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        # The repository lists it, too: both come from the same stranger.
        select([ST_INDEX, shard], index_of({"a": shard}))
    assert f"it names the file {shard!r}" in str(caught.value)
    assert ST_INDEX in str(caught.value)


def test_all_shards_that_the_repository_lacks_are_named() -> None:
    weight_map = {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-3.safetensors"}
    with pytest.raises(CheckpointError) as caught:
        select([ST_INDEX, "m-2.safetensors"], index_of(weight_map))
    assert "the shard m-1.safetensors is missing; the shard m-3.safetensors is missing" in str(
        caught.value
    )


@pytest.mark.parametrize(
    "content",
    [
        *(b"[]", b"{", b"\xff", b"[" * 100_000, b'{"weight_map":{"a":"b","a":"c"}}'),
        *(b"{}", b'{"weight_map":{}}', b'{"weight_map":[]}', b'{"weight_map":{"a":["m"]}}'),
    ],
)
def test_an_index_without_a_map_to_files_is_refused(content: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"index\.json: it (is broken|has no weight_map)"):
        select([ST_INDEX], lambda name: content)
