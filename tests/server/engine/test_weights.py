"""Weight files are read as whole matrices, or refused by name."""

from pathlib import Path

import numpy as np
import pytest

from ft_serving.core.arrays import FloatArray
from ft_serving.core.dtypes import DType
from ft_serving.server.engine.config import read_config
from ft_serving.server.engine.weight_files import read_weights
from ft_serving.server.errors import ServerError
from tests.server.engine.ft_files import Shape, files_of, random_weights, rounded, write_folder

SHAPE = Shape()
WEIGHTS = random_weights(SHAPE)


def read(folder: Path, tensor_parallel: int) -> dict[str, FloatArray]:
    return read_weights(folder, read_config(folder), tensor_parallel)


@pytest.mark.parametrize("tensor_parallel", [1, 2, 4])
@pytest.mark.parametrize("dtype", list(DType))
def test_whole_matrices_come_back_from_any_split(
    tmp_path: Path, tensor_parallel: int, dtype: DType
) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, tensor_parallel=tensor_parallel, dtype=dtype)
    found = read(tmp_path, tensor_parallel)
    expected = files_of(rounded(WEIGHTS, dtype), SHAPE.layers)
    assert found.keys() == expected.keys()
    for name, (array, _) in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize(("tensor_parallel", "dtype"), [(1, DType.FP32), (2, DType.FP16)])
def test_files_that_are_altered_or_cut_later_change_nothing(
    tmp_path: Path, tensor_parallel: int, dtype: DType
) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, tensor_parallel=tensor_parallel, dtype=dtype)
    found = read(tmp_path, tensor_parallel)
    before = {name: array.copy() for name, array in found.items()}
    for file in tmp_path.glob("*.bin"):
        with file.open("r+b") as altered:
            altered.write(b"\x7f" * 64)
            altered.truncate(128)
    for name, array in found.items():
        np.testing.assert_array_equal(array, before[name])
        assert not array.flags.writeable


def test_missing_short_and_long_files_are_all_named(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS)
    (tmp_path / "model.lm_head.bias.bin").unlink()
    cut = tmp_path / "model.layers.1.attention.dense.weight.0.bin"
    cut.write_bytes(cut.read_bytes()[:-4])
    with (tmp_path / "model.wte.bin").open("ab") as file:
        file.write(b"\0" * 4)
    with pytest.raises(ServerError) as caught:
        read(tmp_path, 1)
    message = str(caught.value)
    assert "model.lm_head.bias.bin: No such file or directory" in message
    assert f"{cut.name}: must have 36864 bytes (96x96 fp32); found 36860" in message
    assert "model.wte.bin: must have 81024 bytes" in message


def test_weights_of_another_format_than_config_ini_says_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, dtype=DType.FP16)
    config = tmp_path / "config.ini"
    config.write_text(config.read_text().replace("fp16", "fp32"))
    with pytest.raises(ServerError, match=r"must have 384 bytes \(96 fp32\); found 192"):
        read(tmp_path, 1)


@pytest.mark.parametrize(
    ("written", "opened", "message"),
    [
        (1, 2, r"with tensor parallel size 2: .*query_key_value\.weight\.0\.bin"),
        (2, 1, r"with tensor parallel size 1: .*query_key_value\.weight\.0\.bin"),
        (1, 0, "must divide the model's 4 attention heads"),
        (1, 3, "must divide the model's 4 attention heads"),
    ],
)
def test_another_tensor_parallel_size_is_refused(
    tmp_path: Path, written: int, opened: int, message: str
) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS, tensor_parallel=written)
    with pytest.raises(ServerError, match=message):
        read(tmp_path, opened)


def test_a_long_list_of_problems_is_cut(tmp_path: Path) -> None:
    write_folder(tmp_path, SHAPE, WEIGHTS)
    for file in tmp_path.glob("*.bin"):
        file.unlink()
    with pytest.raises(ServerError, match="and 13 more"):
        read(tmp_path, 1)
