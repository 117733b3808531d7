"""Releases in Hugging Face's layout, compared with their source by the safetensors library."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import deserialize
from safetensors.numpy import load_file

from ft_serving.core.arrays import AnyArray, cast
from ft_serving.core.dtypes import DType
from ft_serving.core.errors import FtServingError
from ft_serving.core.families import read_architecture
from ft_serving.core.manifest import read_manifest
from ft_serving.core.progress import Progress
from ft_serving.core.release import ReleaseFormat
from ft_serving.core.verify import check_content, check_sizes
from ft_serving.weights import shards as shards_module
from ft_serving.weights.checkpoint import open_checkpoint
from ft_serving.weights.errors import CheckpointError, WeightsError
from ft_serving.weights.inventory import Decision, prune
from ft_serving.weights.layouts import Layout
from ft_serving.weights.prepare import Outcome, Prepared
from ft_serving.weights.shards import plan_shards, write_shards
from tests.weights.checkpoint import torch_archive
from tests.weights.models import CONFIG, HUGGING_FACE, random_checkpoint, random_values, state_dict
from tests.weights.test_convert import CountingTask
from tests.weights.world import World

TOKENIZER = {
    "tokenizer.json": b'{"version": "1.0", "model": {"vocab": {}}}',
    "vocab.json": b'{"\xc4\xa0": 0}\n',
    "merges.txt": b"#version: 0.2\n\xc4\xa0 t\n",
    "tokenizer_config.json": b'{"model_max_length": 2048}',
    "special_tokens_map.json": b"{}",
    "added_tokens.json": b"{}",
    "generation_config.json": b'{"do_sample": true}',
}

SMALL_SHARDS = 200_000
"""Less than the larger tensors of the small checkpoints, more than the smaller ones."""


def files(release: Path) -> set[str]:
    return {path.name for path in (release / "fastertransformer" / "1").iterdir()}


def config_of(prepared: Prepared) -> dict[str, Any]:
    config = json.loads((prepared.folder / "fastertransformer/1/config.json").read_text())
    assert isinstance(config, dict)
    return config


def held_in(shard: Path) -> list[tuple[str, dict[str, Any]]]:
    """Name, dtype, shape and data of every tensor of a file, by the safetensors library."""
    return list(deserialize(shard.read_bytes()))  # type: ignore[no-untyped-call]


def tensors(prepared: Prepared) -> dict[str, tuple[str, list[int], bytes]]:
    """Name, dtype, shape and bytes of every tensor of a release."""
    found: dict[str, tuple[str, list[int], bytes]] = {}
    for path in (prepared.folder / "fastertransformer" / "1").glob("*.safetensors"):
        for name, tensor in held_in(path):
            assert name not in found, "a tensor is in one shard only"
            found[name] = tensor["dtype"], tensor["shape"], bytes(tensor["data"])
    return found


def expected(
    source: dict[str, AnyArray], dtype: DType = DType.FP16
) -> dict[str, tuple[str, list[int], bytes]]:
    word = {DType.FP32: "F32", DType.FP16: "F16", DType.BF16: "BF16"}[dtype]
    result = {}
    for name, values in source.items():
        target = np.empty(values.shape, dtype.numpy)
        cast(values, DType.FP32, target, dtype)
        result[name] = word, list(values.shape), target.tobytes()
    return result


@pytest.mark.parametrize("dtype", list(DType))
def test_every_tensor_is_the_sources_in_the_stored_format(world: World, dtype: DType) -> None:
    prepared = world.prepare(**HUGGING_FACE, dtype=dtype)
    source = load_file(world.checkpoint / "model.safetensors")
    assert tensors(prepared) == expected(source, dtype)
    assert files(prepared.folder) == {"config.json", "model.safetensors", "manifest.json"}
    word = {DType.FP32: "float32", DType.FP16: "float16", DType.BF16: "bfloat16"}[dtype]
    assert config_of(prepared) == {
        **CONFIG,
        "dtype": word,
        "torch_dtype": word,
        "rotary_dim": 16,
        "tie_word_embeddings": False,
    }
    assert read_manifest(prepared.folder) == prepared.manifest
    assert check_content(prepared.folder, Progress(world.said)) == []


def test_shards_are_bounded_and_their_index_names_every_tensor(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = tensors(world.prepare(**HUGGING_FACE))
    monkeypatch.setattr(shards_module, "SHARD_BYTES", SMALL_SHARDS)
    world.storage.delete_release(world.storage.release_names()[0])
    prepared = world.prepare(**HUGGING_FACE)
    assert tensors(prepared) == whole
    folder = prepared.folder / "fastertransformer" / "1"
    shards = sorted(folder.glob("*.safetensors"))
    assert [path.name for path in shards] == [
        f"model-{number:05}-of-{len(shards):05}.safetensors" for number in range(1, len(shards) + 1)
    ]
    for shard in shards:
        assert shard.read_bytes()[0] % 8 == 0, "tensors begin at a multiple of 8 bytes"
        held = held_in(shard)
        assert len(held) == 1 or sum(len(it["data"]) for _, it in held) <= SMALL_SHARDS
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(len(data) for _, _, data in whole.values())
    with open_checkpoint(folder) as checkpoint:
        assert checkpoint.keys() == whole.keys(), "our own reader checks shards and index, too"
        assert {name: t.path.name for name, t in checkpoint.items()} == index["weight_map"]


def test_a_release_has_its_sources_tokenizer_and_nothing_that_could_be_code(
    world: World,
) -> None:
    strangers = ("modeling_gptj.py", "training_args.bin", "pytorch_model.bin", "vocab.pkl")
    for name, content in {**TOKENIZER, **dict.fromkeys(strangers, b"code")}.items():
        (world.checkpoint / name).write_bytes(content)
    divided = world.prepare()
    tokenizer = set(Layout.companions) & TOKENIZER.keys()
    assert {name for name in files(divided.folder) if name.endswith((".json", ".txt"))} == {
        *tokenizer,
        "manifest.json",
    }, "FasterTransformer's files know no settings of generation"
    prepared = world.prepare(**HUGGING_FACE)
    for folder, names in ((divided.folder, tokenizer), (prepared.folder, TOKENIZER.keys())):
        for name in names:
            assert (folder / "fastertransformer/1" / name).read_bytes() == TOKENIZER[name]
    assert files(prepared.folder) == {
        *TOKENIZER,
        *("config.json", "model.safetensors", "manifest.json"),
    }
    (world.checkpoint / "tokenizer.json").write_bytes(b'{"version": "2.0"}')
    assert world.prepare(**HUGGING_FACE).folder != prepared.folder
    assert world.prepare().folder != divided.folder


def test_config_json_says_what_the_release_holds_and_names_no_code(world: World) -> None:
    config = {
        **CONFIG,
        "architectures": ["GPTJForSequenceClassification"],
        "auto_map": {"AutoModelForCausalLM": "modeling_gptj.Evil"},
        "quantization_config": {},
        "rotary_dim": None,
        "tie_word_embeddings": True,
        "torch_dtype": "float64",
        "n_positions": 512,
        "name": "\ud800",
    }
    random_checkpoint(world.checkpoint, config)
    found = config_of(world.prepare(**HUGGING_FACE))
    assert found == {
        **{key: value for key, value in config.items() if key in CONFIG},
        "architectures": ["GPTJForCausalLM"],
        "rotary_dim": 32,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "dtype": "float16",
        "n_positions": 512,
        "name": "\ud800",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"{", "tokenizer.json: it is broken"),
        ("vocab.json", b"[" * 100_000, "vocab.json: it is broken"),
        ("added_tokens.json", b"[]", "added_tokens.json: it is not a JSON object"),
        ("merges.txt", b"\xff\xfe", "merges.txt: it is broken"),
        (
            "tokenizer.json",
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "tokenizer.json: it is a Git LFS pointer to the file. Run `git lfs pull`",
        ),
    ],
)
def test_a_file_that_no_server_could_read_is_refused(
    world: World, name: str, content: bytes, message: str
) -> None:
    (world.checkpoint / name).write_bytes(content)
    assert message in world.refused(CheckpointError, **HUGGING_FACE)
    (world.checkpoint / name).unlink()
    (world.checkpoint / name).symlink_to("nowhere")
    assert f"not there: {name} -> nowhere" in world.refused(CheckpointError, **HUGGING_FACE)


def test_a_pickled_checkpoint_becomes_safetensors_without_its_prefix(world: World) -> None:
    source = state_dict(random_values())
    (world.checkpoint / "model.safetensors").unlink()
    pickled = torch_archive.state_dict(
        {
            f"module.{name}": torch_archive.tensor(
                torch_archive.storage("FloatStorage", name, values.size),
                values.shape,
                tuple(stride // 4 for stride in values.strides),
            )
            for name, values in source.items()
        }
    )
    storages = {name: values.tobytes() for name, values in source.items()}
    torch_archive.write_archive(world.checkpoint / "pytorch_model.bin", pickled, storages)
    prepared = world.prepare(**HUGGING_FACE)
    assert tensors(prepared) == expected(source)
    assert files(prepared.folder) == {"config.json", "model.safetensors", "manifest.json"}


def test_a_shard_that_a_killed_process_left_damaged_is_written_again(world: World) -> None:
    name = world.prepare(**HUGGING_FACE).manifest.spec.name
    shard = world.storage.release(name) / "fastertransformer/1/model.safetensors"
    content = shard.read_bytes()
    world.storage.delete_release(name)
    weights = world.storage.staging(name) / "fastertransformer" / "1"
    weights.mkdir(parents=True)
    (weights / shard.name).write_bytes(content + b"more")
    world.prepare(**HUGGING_FACE)
    assert shard.read_bytes() == content


def test_releases_share_files_with_those_of_their_format_only(world: World) -> None:
    (world.checkpoint / "tokenizer.json").write_bytes(TOKENIZER["tokenizer.json"])
    spec = json.loads(world.prepare().manifest.to_json())["spec"]
    assert "format" not in spec, "programs of before, such as a server's image, read it"
    first = world.prepare(**HUGGING_FACE)
    assert first.outcome is Outcome.CONVERTED
    spec = json.loads(first.manifest.to_json())["spec"]
    assert spec["format"] == "huggingface"
    assert "tensor_parallel" not in spec
    assert world.prepare(**HUGGING_FACE).outcome is Outcome.FOUND
    second = world.prepare(**HUGGING_FACE, streaming=True, compute_dtype=DType.BF16)
    assert second.outcome is Outcome.LINKED
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        path = f"fastertransformer/1/{name}"
        assert (second.folder / path).samefile(first.folder / path)
    pbtxt = (second.folder / "fastertransformer/config.pbtxt").read_text()
    assert "decoupled: true" in pbtxt
    assert "para_size" not in pbtxt


def test_what_servers_compile_for_a_release_has_a_folder_that_goes_with_it(world: World) -> None:
    name = world.prepare(**HUGGING_FACE).manifest.spec.name
    cache = world.storage.root / "caches" / name
    world.prepare()
    assert [it.name for it in cache.parent.iterdir()] == [name], "nothing else is compiled for"
    compiled = cache / "vllm-H200" / "inductor" / "kernel.py"
    compiled.parent.mkdir(parents=True)
    compiled.touch()
    world.prepare(**HUGGING_FACE)
    assert compiled.exists(), "a release that is there keeps it"
    assert not [it for it in prune(world.storage, [name], 0) if it.name.startswith("caches/")]
    assert compiled.exists()
    (cache.parent / "other").mkdir()
    (cache / "notes.txt").touch()
    *_, decision = prune(world.storage, [], 0)
    assert decision.kept_because == "it holds notes.txt, which ft-serving did not put there"
    (cache / "notes.txt").unlink()
    assert Decision(name=f"caches/{name}", kept_because=None) in list(prune(world.storage, [], 0))
    assert not cache.exists()
    assert (cache.parent / "other").is_dir(), "somebody else's"


def test_a_head_size_that_fastertransformer_lacks_is_no_matter(tmp_path: Path) -> None:
    config = json.loads((random_checkpoint(tmp_path) / "config.json").read_text())
    config |= {"n_embd": 40 * config["n_head"], "rotary_dim": 16}
    content = json.dumps(config).encode()
    assert read_architecture(content, ReleaseFormat.HUGGINGFACE)[1].head_size == 40
    uneven = json.dumps(config | {"n_embd": 131}).encode()
    with pytest.raises(FtServingError, match=r"n_embd: must be a multiple of the \d+ heads; got"):
        read_architecture(uneven, ReleaseFormat.HUGGINGFACE)


def test_an_altered_text_is_found_without_hashing_the_weights(world: World) -> None:
    (world.checkpoint / "merges.txt").write_bytes(TOKENIZER["merges.txt"])
    release = world.prepare(**HUGGING_FACE).folder
    config = release / "fastertransformer/1/config.json"
    config.write_text(config.read_text().replace("gelu_new", "gelu_old"))
    merges = release / "fastertransformer/1/merges.txt"
    merges.write_bytes(merges.read_bytes().replace(b"t", b"u"))
    problems = check_sizes(release)
    assert [problem.split(":")[0].rsplit("/")[-1] for problem in problems] == [
        "config.json",
        "merges.txt",
    ]


def test_a_source_that_changes_meanwhile_finishes_no_shard(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(tmp_path / "source")
    target = tmp_path / "target"
    target.mkdir()
    planned = plan_shards(*read_architecture((checkpoint / "config.json").read_bytes()), DType.FP16)

    def changed() -> None:
        raise WeightsError("changed while it was read")

    with open_checkpoint(checkpoint) as source, pytest.raises(FtServingError, match="changed"):
        write_shards(source, planned, DType.FP16, target, CountingTask(), changed)
    (left,) = target.iterdir()
    assert left.name == "model.safetensors.part", "the next run must not take it over"
