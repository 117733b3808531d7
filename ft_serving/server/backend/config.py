"""Reads the arguments with which Triton loads the backend."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ft_serving.core import protocol
from ft_serving.core.lengths import LengthLimits
from ft_serving.core.parameters import INPUTS
from ft_serving.core.protocol import TensorSpec, TensorType
from ft_serving.server.errors import ServerError

# A configuration made for another version of fastertransformer_backend has the other of the two.
_INTERCHANGEABLE = frozenset({TensorType.INT32, TensorType.UINT32})


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendConfig:
    """The contents of a config.pbtxt that matter to the backend.

    Attributes:
        checkpoint: The folder that directly holds config.ini and the weights.
        tensor_parallel: The size that the weights must have been converted for; None for weights
            that serve any number of GPUs.
        streaming: Whether to send a response a token: Triton's decoupled policy.
        output_types: The data type of each output.
        limits: How long prompts and answers may be.
    """

    checkpoint: Path
    tensor_parallel: int | None
    streaming: bool
    output_types: Mapping[str, TensorType]
    limits: LengthLimits


def read_config(args: Mapping[str, str]) -> BackendConfig:
    """Read the arguments of a Python-based backend's `initialize`.

    The folder of weights is `model_checkpoint_path`, as on GPUs. Where that does not exist it is
    the version's own folder: a release keeps working when its volume is mounted elsewhere.

    Args:
        args: `model_config` is config.pbtxt as JSON, `model_repository` the model's folder,
            `model_version` the version's name.

    Raises:
        ServerError: Tensors or parameters are not those of this backend; all of them are named.
    """
    config = json.loads(args["model_config"])
    problems = [*_tensor_problems(config["input"], INPUTS, "input")]
    problems += _tensor_problems(config["output"], protocol.OUTPUTS, "output")
    parameters = {
        name: value.get("string_value", "") for name, value in config.get("parameters", {}).items()
    }
    size = parameters.get("tensor_para_size")
    if size is not None and not size.isdecimal():
        problems.append(f"parameter tensor_para_size: must be a whole number, got {size!r}")
    limits = LengthLimits()
    try:
        limits = LengthLimits.from_parameters(parameters)
    except ValueError as exc:
        problems.append(str(exc))
    if problems:
        raise ServerError("config.pbtxt: " + "; ".join(problems))
    checkpoint = Path(parameters.get("model_checkpoint_path", ""))
    if not checkpoint.is_absolute() or not checkpoint.is_dir():
        checkpoint = Path(args["model_repository"], args["model_version"])
    return BackendConfig(
        checkpoint=checkpoint,
        tensor_parallel=None if size is None else int(size),
        streaming=config.get("model_transaction_policy", {}).get("decoupled", False),
        output_types={tensor["name"]: TensorType(_type(tensor)) for tensor in config["output"]},
        limits=limits,
    )


def _tensor_problems(
    declared: list[dict[str, Any]], known: tuple[TensorSpec, ...], kind: str
) -> Iterator[str]:
    specs = {spec.name: spec for spec in known}
    for tensor in declared:
        spec = specs.pop(tensor["name"], None)
        if spec is None:
            yield f"{kind} {tensor['name']}: is unknown here, remove it"
        elif _type(tensor) != spec.dtype and not {_type(tensor), spec.dtype} <= _INTERCHANGEABLE:
            yield f"{kind} {tensor['name']}: must be TYPE_{spec.dtype}, got {tensor['data_type']}"
    for spec in specs.values():
        if not spec.optional:
            yield f"{kind} {spec.name}: is required and missing"


def _type(tensor: dict[str, Any]) -> str:
    return str(tensor["data_type"]).removeprefix("TYPE_")
