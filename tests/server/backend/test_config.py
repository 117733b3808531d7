"""The arguments with which Triton loads the backend are read, or refused."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from ft_serving.core.lengths import LengthLimits
from ft_serving.core.manifest import WEIGHTS_PATH
from ft_serving.core.protocol import TensorType
from ft_serving.server.backend.config import read_config
from ft_serving.server.errors import ServerError
from ft_serving.weights.config_pbtxt import render_config_pbtxt
from tests.weights.models import manifest

LIMITS = LengthLimits(context_length=2048, input_length=1024)


def config(*, streaming: bool = False, checkpoint: str = "/nowhere") -> dict[str, Any]:
    """config.pbtxt as Triton hands it to a Python-based backend."""
    settings = {"streaming": streaming, "input_length": LIMITS.input_length}
    text = render_config_pbtxt(manifest(**settings), Path("/nowhere"))
    text = text.replace(f"/nowhere/{WEIGHTS_PATH}", checkpoint)
    message = text_format.Parse(text, model_config_pb2.ModelConfig())
    parsed: dict[str, Any] = json.loads(
        json_format.MessageToJson(message, preserving_proto_field_name=True)
    )
    return parsed


def arguments(
    config: Mapping[str, Any], model: str = "/models/fastertransformer"
) -> dict[str, str]:
    return {
        "model_config": json.dumps(config),
        "model_repository": model,
        "model_version": "1",
        "model_name": "fastertransformer",
        "model_instance_kind": "CPU",
    }


@pytest.mark.parametrize("streaming", [False, True])
def test_the_rendered_configuration_is_understood(streaming: bool, tmp_path: Path) -> None:
    read = read_config(arguments(config(streaming=streaming, checkpoint=str(tmp_path))))
    assert read.checkpoint == tmp_path
    assert read.tensor_parallel == 2
    assert read.streaming is streaming
    assert read.limits == LIMITS
    assert read.output_types == {
        "output_ids": TensorType.UINT32,
        "sequence_length": TensorType.UINT32,
        "cum_log_probs": TensorType.FP32,
        "output_log_probs": TensorType.FP32,
    }


@pytest.mark.parametrize("path", ["/nowhere", "", "tests"])
def test_weights_that_are_not_where_the_configuration_says_lie_beside_it(path: str) -> None:
    read = read_config(arguments(config(checkpoint=path)))
    assert read.checkpoint == Path("/models/fastertransformer/1"), (
        "a volume may be mounted elsewhere than where the release was prepared; "
        "a relative path would depend on the server's working directory"
    )


def test_signed_integers_are_as_good_as_unsigned_ones() -> None:
    signed = config()
    for tensor in signed["input"] + signed["output"]:
        tensor["data_type"] = tensor["data_type"].replace("UINT32", "INT32")
    types = read_config(arguments(signed)).output_types
    assert types["output_ids"] is types["sequence_length"] is TensorType.INT32


def test_all_that_is_wrong_is_named_at_once() -> None:
    wrong = config()
    wrong["parameters"]["tensor_para_size"]["string_value"] = "two"
    wrong["parameters"]["input_length"]["string_value"] = "0"
    wrong["input"] = [tensor for tensor in wrong["input"] if tensor["name"] != "input_lengths"]
    for tensor in wrong["input"]:
        if tensor["name"] == "random_seed":
            tensor["data_type"] = "TYPE_INT32"
    wrong["input"].append({"name": "memory_len", "data_type": "TYPE_UINT32"})
    wrong["output"].pop()
    wrong["output"][0]["data_type"] = "TYPE_FP32"
    with pytest.raises(ServerError) as caught:
        read_config(arguments(wrong))
    assert str(caught.value).split("; ") == [
        # FasterTransformer would read eight bytes from each seed of four.
        "config.pbtxt: input random_seed: must be TYPE_UINT64, got TYPE_INT32",
        "input memory_len: is unknown here, remove it",
        "input input_lengths: is required and missing",
        "output output_ids: must be TYPE_UINT32, got TYPE_FP32",
        "output output_log_probs: is required and missing",
        "parameter tensor_para_size: must be a whole number, got 'two'",
        "parameter input_length: must be a whole number of at least 1, got '0'",
    ]
