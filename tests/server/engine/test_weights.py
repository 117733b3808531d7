from pathlib import Path

import numpy as np
import pytest

from ft_serving.core.dtypes import DType
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.gptj import GptJWeights, open_weights
from ft_serving.server.errors import ServerError
from tests.server.engine.ft_files import Shape, random_weights, rounded, write_folder

SHAPE = Shape()
WEIGHTS = random_weights(SHAPE)


def open_folder(folder: Path, tensor_parallel: int) -> GptJWeights:
    return open_weights(folder, read_config(folder), tensor_parallel)


@pytest.mark.parametrize("tensor_parallel", [1, 2, 4])
@pytest.mark.parametrize("dtype", list(DType))
def test_whole_matrices_come_back_from_any_split(
    tmp_path: Path, tensor_parallel: int, dtype: DType
) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, tensor_parallel=tensor_parallel, dtype=dtype)
    opened = open_folder(tmp_path, tensor_parallel)
    expected = rounded(WEIGHTS, dtype)
    layer, name = opened.layers[1], "transformer.h.1"
    q, k, v = (expected[f"{name}.attn.{x}_proj.weight"].T for x in "qkv")
    np.testing.assert_array_equal(layer.qkv, np.hstack([q, k, v]))
    np.testing.assert_array_equal(layer.attention_out, expected[f"{name}.attn.out_proj.weight"].T)
    np.testing.assert_array_equal(layer.up, expected[f"{name}.mlp.fc_in.weight"].T)
    np.testing.assert_array_equal(layer.up_bias, expected[f"{name}.mlp.fc_in.bias"])
    np.testing.assert_array_equal(layer.down, expected[f"{name}.mlp.fc_out.weight"].T)
    np.testing.assert_array_equal(layer.down_bias, expected[f"{name}.mlp.fc_out.bias"])
    np.testing.assert_array_equal(layer.norm_weight, expected[f"{name}.ln_1.weight"])
    np.testing.assert_array_equal(layer.norm_bias, expected[f"{name}.ln_1.bias"])
    np.testing.assert_array_equal(opened.embedding, expected["transformer.wte.weight"])
    np.testing.assert_array_equal(opened.head, expected["lm_head.weight"])
    np.testing.assert_array_equal(opened.head_bias, expected["lm_head.bias"])
    np.testing.assert_array_equal(opened.norm_weight, expected["transformer.ln_f.weight"])
    np.testing.assert_array_equal(opened.norm_bias, expected["transformer.ln_f.bias"])


@pytest.mark.parametrize(("tensor_parallel", "dtype"), [(1, DType.FP32), (2, DType.FP16)])
def test_files_that_are_altered_or_cut_later_change_nothing(
    tmp_path: Path, tensor_parallel: int, dtype: DType
) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, tensor_parallel=tensor_parallel, dtype=dtype)
    opened = open_folder(tmp_path, tensor_parallel)
    before = opened.embedding.copy(), opened.layers[0].qkv.copy()
    for file in tmp_path.glob("*.bin"):
        with file.open("r+b") as altered:
            altered.write(b"\x7f" * 64)
            altered.truncate(128)
    np.testing.assert_array_equal(opened.embedding, before[0])
    np.testing.assert_array_equal(opened.layers[0].qkv, before[1])
    assert not opened.embedding.flags.writeable
    assert not opened.layers[0].qkv.flags.writeable


def test_all_missing_and_truncated_files_are_named(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS)
    (tmp_path / "model.lm_head.bias.bin").unlink()
    cut = tmp_path / "model.layers.1.attention.dense.weight.0.bin"
    cut.write_bytes(cut.read_bytes()[:-4])
    with pytest.raises(ServerError) as caught:
        open_folder(tmp_path, 1)
    message = str(caught.value)
    assert "model.lm_head.bias.bin: No such file or directory" in message
    assert f"{cut.name}: must have 36864 bytes (96x96 fp32); found 36860" in message


def test_a_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS)
    with (tmp_path / "model.wte.bin").open("ab") as file:
        file.write(b"\0" * 4)
    with pytest.raises(ServerError, match=r"model\.wte\.bin: must have 81024 bytes"):
        open_folder(tmp_path, 1)


def test_weights_of_another_format_than_config_ini_says_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, dtype=DType.FP16)
    config = tmp_path / "config.ini"
    config.write_text(config.read_text().replace("fp16", "fp32"))
    with pytest.raises(ServerError, match=r"must have 384 bytes \(96 fp32\); found 192"):
        open_folder(tmp_path, 1)


@pytest.mark.parametrize(("written", "opened"), [(1, 2), (2, 1), (2, 4)])
def test_another_tensor_parallel_size_is_refused(tmp_path: Path, written: int, opened: int) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, tensor_parallel=written)
    with pytest.raises(ServerError, match=f"with tensor parallel size {opened}") as caught:
        open_folder(tmp_path, opened)
    assert "query_key_value.weight.0.bin" in str(caught.value)


@pytest.mark.parametrize("tensor_parallel", [-1, 0, 3])
def test_a_tensor_parallel_size_must_divide_the_model(tmp_path: Path, tensor_parallel: int) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS)
    with pytest.raises(
        ServerError,
        match="must divide the model's 4 attention heads",
    ):
        open_folder(tmp_path, tensor_parallel)


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS)
    for file in tmp_path.glob("*.bin"):
        file.unlink()
    with pytest.raises(ServerError, match="and 13 more files"):
        open_folder(tmp_path, 1)
