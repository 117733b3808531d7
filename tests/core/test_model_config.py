"""config.pbtxt, parsed by Triton's own definition of the format."""

from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from ft_serving.core import protocol
from ft_serving.core.dtypes import DType
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.model_config import ModelConfig, checkpoint_path, render


def rendered(
    *,
    streaming: bool = False,
    path: str = "/models/1",
    parallel: tuple[int, int] | None = (4, 2),
) -> str:
    config = ModelConfig(
        model_type="GPT-J",
        tensor_parallel=parallel and parallel[0],
        pipeline_parallel=parallel and parallel[1],
        compute_dtype=DType.FP16,
        checkpoint_path=path,
        streaming=streaming,
        vocabulary=50400,
        end_id=50256,
        source="EleutherAI/gpt-j-6b@main",
        limits=LengthLimits(context_length=2048, output_length=256),
    )
    return render(config)


def parsed(**changes: Any) -> model_config_pb2.ModelConfig:
    return text_format.Parse(rendered(**changes), model_config_pb2.ModelConfig())


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


def test_inputs_are_nvidias_and_two_that_fastertransformer_takes_besides() -> None:
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


def test_outputs_are_nvidias() -> None:
    found = {t.name: (type_name(t.data_type), list(t.dims)) for t in parsed().output}
    assert found == NVIDIA_OUTPUTS


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
        "tensor_para_size": "4",
        "pipeline_para_size": "2",
        "data_type": "fp16",
        "model_checkpoint_path": "/models/1",
        "enable_custom_all_reduce": "0",
        "vocab_size": "50400",
        "end_id": "50256",
        "weights_source": "EleutherAI/gpt-j-6b@main",
        "context_length": "2048",
        "output_length": "256",
    }
    found = {key: value.string_value for key, value in parsed().parameters.items()}
    assert found == expected
    any_number = parsed(parallel=None).parameters
    assert expected.keys() - any_number.keys() == {"tensor_para_size", "pipeline_para_size"}


@pytest.mark.parametrize("path", ["/models/1", '/a "b"\\n\n/c', "/n\\", "/ü"])
def test_the_path_of_the_checkpoint_is_read_as_it_was_written(path: str) -> None:
    assert checkpoint_path(rendered(path=path)) == path
    assert parsed(path=path).parameters["model_checkpoint_path"].string_value == path
    assert checkpoint_path("") == ""
