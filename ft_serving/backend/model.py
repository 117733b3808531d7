"""The entry point that Triton loads, from `backends/fastertransformer/model.py`.

Tensors pass by DLPack. `Tensor.as_numpy` and the constructor of `Tensor` read numpy's own
structures, and where Triton's stub was built for numpy 1 they do so wrongly under numpy 2, without
an error: inputs repeat their first value, outputs are empty.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

# Exists only inside of Triton's Python stub, and has no types.
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from ft_serving.backend.batch import BatchRunner, Refusal
from ft_serving.backend.config import read_config
from ft_serving.backend.errors import DeliveryError
from ft_serving.backend.release import open_engine
from ft_serving.backend.watchdog import Watchdog
from ft_serving.engine.request import AnyArray
from ft_serving.errors import FtServingError
from ft_serving.protocol import RUNNING_METRIC

_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = [ctypes.py_object, ctypes.c_char_p]
# The capsule keeps a pointer to it.
_CONSUMED = b"used_dltensor"


class _Sender(Protocol):
    def send(self, response: object, flags: int) -> None: ...


class _Request(Protocol):
    """The part of `pb_utils.InferenceRequest` that is used here."""

    def inputs(self) -> Sequence[Any]: ...

    def is_cancelled(self) -> bool: ...

    def get_response_sender(self) -> _Sender: ...


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model, or say why not: Triton prints the message and does not get ready."""
        try:
            config = read_config(args)
            engine = open_engine(config)
        except FtServingError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        self._runner = BatchRunner(
            engine, streaming=config.streaming, output_types=config.output_types
        )
        self._watchdog = Watchdog()
        # Triton itself counts requests that wait and requests that are done.
        self._gauges = pb_utils.MetricFamily(
            name=RUNNING_METRIC,
            description="Requests that are computed at this moment",
            kind=pb_utils.MetricFamily.GAUGE,
        )
        self._running = self._gauges.Metric(labels={"model": args["model_name"]})

    def execute(self, requests: Sequence[_Request]) -> None:
        """Answer requests that arrived together, as one batch.

        Raises:
            DeliveryError: Responses were lost. The requests are answered with it, by Triton: their
                senders count as closed, though nothing was sent.
        """
        self._running.set(len(requests))
        try:
            self._runner.run([_TritonCall(request) for request in requests])
        finally:
            self._running.set(0)

    def finalize(self) -> None:
        """Let the server unload the model."""
        self._watchdog.dismiss()


class _TritonCall:
    """Implements `ft_serving.backend.batch.Call`.

    The sender serves both transaction policies. Without decoupling it also lets a short text be
    answered while longer ones of its batch go on.
    """

    def __init__(self, request: _Request) -> None:
        self._request = request
        self._sender = request.get_response_sender()

    def tensors(self) -> Mapping[str, AnyArray]:
        """Return views of Triton's memory."""
        return {tensor.name(): np.from_dlpack(tensor) for tensor in self._request.inputs()}

    def is_cancelled(self) -> bool:
        """Ask Triton."""
        return self._request.is_cancelled()

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        """Send a copy of the tensors."""
        outputs = [_to_triton(name, array) for name, array in tensors.items()]
        self._send(pb_utils.InferenceResponse(outputs), is_last=is_last)

    def refuse(self, refusal: Refusal, message: str) -> None:
        """Send an error."""
        error = pb_utils.TritonError(message, getattr(pb_utils.TritonError, refusal.value))
        self._send(pb_utils.InferenceResponse([], error), is_last=True)

    def _send(self, response: object, *, is_last: bool) -> None:
        flags = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL if is_last else 0
        try:
            self._sender.send(response, flags)
        except pb_utils.TritonModelException as exc:
            raise DeliveryError(str(exc)) from exc


def _to_triton(name: str, array: AnyArray) -> object:
    capsule = array.__dlpack__()
    tensor = pb_utils.Tensor.from_dlpack(name, capsule)
    # Triton marks a capsule that it has taken with a name of its own, about which numpy would
    # complain on stderr.
    _set_capsule_name(capsule, _CONSUMED)
    return tensor
