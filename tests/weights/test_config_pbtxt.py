"""config.pbtxt, parsed by Triton's own definition of the format."""

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ft_serving.core import protocol
from ft_serving.core.dtypes import DType
from ft_serving.core.manifest import WEIGHTS_PATH
from ft_serving.core.release import ReleaseFormat
from ft_serving.weights.config_pbtxt import checkpoint_path, render_config_pbtxt
from tests.weights.models import manifest


def rendered(folder: str = "/models", **settings: Any) -> str:
    return render_config_pbtxt(manifest(**settings), Path(folder))


def parsed(folder: str = "/models", **settings: Any) -> model_config_pb2.ModelConfig:
    return text_format.Parse(rendered(folder, **settings), model_config_pb2.ModelConfig())


NVIDIA_INPUTS = {
    "input_ids": ("TYPE_UINT32", [-1], False, False),
    "start_id": ("TYPE_UINT32", [1], True, True),
    "end_id": ("TYPE_UINT32", [1], True, True),
    "input_lengths": ("TYPE_UINT32", [1], True, False),
    "request_output_len": ("TYPE_UINT32", [-1], False, False),
    "runtime_top_k": ("TYPE_UINT32", [1], True, True),
    "runtime_top_p": ("TYPE_FP32", [1], True, True),
    "beam_search_diversity_rate": ("TYPE_FP32", [1], True, True),
    "temperature": ("TYPE_FP32", [1], True, True),
    "len_penalty": ("TYPE_FP32", [1], True, True),
    "repetition_penalty": ("TYPE_FP32", [1], True, True),
    "random_seed": ("TYPE_UINT64", [1], True, True),
    "is_return_log_probs": ("TYPE_BOOL", [1], True, True),
    "beam_width": ("TYPE_UINT32", [1], True, True),
    "bad_words_list": ("TYPE_INT32", [2, -1], False, True),
    "stop_words_list": ("TYPE_INT32", [2, -1], False, True),
    "prompt_learning_task_name_ids": ("TYPE_UINT32", [1], True, True),
    "top_p_decay": ("TYPE_FP32", [1], True, True),
    "top_p_min": ("TYPE_FP32", [1], True, True),
    "top_p_reset_ids": ("TYPE_UINT32", [1], True, True),
}
"""Type, dims, reshaped to one value a row, optional: read off NVIDIA's GPT-J config.pbtxt."""

OWN_INPUTS = {
    "presence_penalty": ("TYPE_FP32", [1], True, True),
    "min_length": ("TYPE_INT32", [1], True, True),
}

NVIDIA_OUTPUTS = {
    "output_ids": ("TYPE_UINT32", [-1, -1]),
    "sequence_length": ("TYPE_UINT32", [-1]),
    "cum_log_probs": ("TYPE_FP32", [-1]),
    "output_log_probs": ("TYPE_FP32", [-1, -1]),
}


def type_name(number: int) -> str:
    return str(model_config_pb2.DataType.Name(number))


def test_tensors_are_nvidias_and_two_inputs_that_fastertransformer_takes_besides() -> None:
    found = {
        tensor.name: (
            type_name(tensor.data_type),
            list(tensor.dims),
            tensor.HasField("reshape") and list(tensor.reshape.shape) == [],
            tensor.optional,
        )
        for tensor in parsed().input
    }
    assert found == NVIDIA_INPUTS | OWN_INPUTS
    outputs = {t.name: (type_name(t.data_type), list(t.dims)) for t in parsed().output}
    assert outputs == NVIDIA_OUTPUTS


@pytest.mark.parametrize("streaming", [False, True])
def test_name_batching_and_streaming_are_the_protocols(streaming: bool) -> None:
    config = parsed(streaming=streaming)
    assert config.name == config.backend == "fastertransformer"
    assert config.max_batch_size == protocol.MAX_BATCH_SIZE == 1024
    assert config.model_transaction_policy.decoupled is streaming
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, model_config_pb2.ModelInstanceGroup.Kind.KIND_CPU)


def test_prompts_of_different_lengths_may_share_a_batch() -> None:
    config = parsed()
    assert config.HasField("dynamic_batching")
    ragged = [tensor.name for tensor in config.input if tensor.allow_ragged_batch]
    assert ragged == ["input_ids"]
    (shape,) = config.batch_input
    assert list(shape.source_input) == ragged, "FasterTransformer refuses ragged input without it"
    assert list(shape.target_name) == ["input_ids_item_shape"]
    assert shape.kind == model_config_pb2.BatchInput.Kind.BATCH_ITEM_SHAPE


def test_parameters_are_those_that_the_backend_and_clients_read() -> None:
    expected = {
        "model_type": "GPT-J",
        "tensor_para_size": "2",
        "pipeline_para_size": "1",
        "data_type": "fp32",
        "model_checkpoint_path": "/models/fastertransformer/1",
        "enable_custom_all_reduce": "0",
        "vocab_size": "96",
        "end_id": "1",
        "weights_source": "EleutherAI/gpt-j-6b@main",
        "context_length": "2048",
        "output_length": "256",
    }
    settings: dict[str, Any] = {"compute_dtype": DType.FP32, "output_length": 256}
    found = {k: v.string_value for k, v in parsed(**settings).parameters.items()}
    assert found == expected
    any_number = parsed(format=ReleaseFormat.HUGGINGFACE, **settings).parameters
    assert expected.keys() - any_number.keys() == {"tensor_para_size", "pipeline_para_size"}


@pytest.mark.parametrize("folder", ["/models", '/a "b"\\n\n/c', "/n\\", "/ü"])
def test_the_path_of_the_checkpoint_is_read_as_it_was_written(folder: str) -> None:
    path = f"{folder}/{WEIGHTS_PATH}"
    assert checkpoint_path(rendered(folder)) == path
    assert parsed(folder).parameters["model_checkpoint_path"].string_value == path
    assert checkpoint_path("") == ""
