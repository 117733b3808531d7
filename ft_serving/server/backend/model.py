"""The entry point that Triton loads, from `backends/fastertransformer/model.py`.

Tensors pass by DLPack. `Tensor.as_numpy` and the constructor of `Tensor` read numpy's own
structures, and where Triton's stub was built for numpy 1 they do so wrongly under numpy 2, without
an error: inputs repeat their first value, outputs are empty.
"""

import ctypes
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

# Exists only inside of Triton's Python stub, and has no types.
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]

from ft_serving.core.arrays import AnyArray
from ft_serving.core.errors import FtServingError
from ft_serving.core.protocol import DURATION_METRIC, RUNNING_METRIC
from ft_serving.server.backend.batch import RefusalCode, Runner
from ft_serving.server.backend.config import read_config
from ft_serving.server.backend.release import open_engine
from ft_serving.server.backend.watchdog import Watchdog
from ft_serving.server.errors import DeliveryError
from ft_serving.server.vllm.statistics import COUNTER_ENDS, ENGINE_METRICS, Statistics

_set_capsule_name = ctypes.pythonapi.PyCapsule_SetName
_set_capsule_name.argtypes = [ctypes.py_object, ctypes.c_char_p]
# The capsule keeps a pointer to it.
_CONSUMED = b"used_dltensor"


class _Sender(Protocol):
    def send(self, response: object, flags: int) -> None: ...

    def is_cancelled(self) -> bool: ...


class _Request(Protocol):
    """The part of `pb_utils.InferenceRequest` that is used here."""

    def inputs(self) -> Sequence[Any]: ...

    def get_response_sender(self) -> _Sender: ...


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model, or say why not: Triton prints the message and does not get ready."""
        try:
            config = read_config(args)
            metrics = _Metrics(args["model_name"])
            engine = open_engine(config, metrics.record)
        except FtServingError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        self._runner = Runner(
            engine,
            streaming=config.streaming,
            output_types=config.output_types,
            meter=metrics,
            room=_answer_room(),
        )
        self._watchdog = Watchdog()

    def execute(self, requests: Sequence[_Request]) -> None:
        """Take requests over, and let Triton hand on others while they are computed."""
        self._runner.submit([_TritonCall(request) for request in requests])

    def finalize(self) -> None:
        """Let the server unload the model."""
        self._runner.close()
        self._watchdog.dismiss()


def _answer_room() -> int:
    """Return half of the shared memory by which answers get to Triton; requests come by it, too."""
    memory = os.statvfs("/dev/shm")  # noqa: S108 (Triton's choice)
    return memory.f_blocks * memory.f_frsize // 2


class _Metrics:
    """Implements `ft_serving.server.backend.batch.Meter` by metrics of Triton.

    Its own durations end when requests are taken over.
    """

    def __init__(self, model: str) -> None:
        # Two threads that change a metric at once make Triton 2.51 read freed memory.
        self._lock = threading.Lock()
        self._model = model
        # The families must live as long as their metrics.
        self._families: list[Any] = []
        self._engine: dict[str, Any] = {}
        self._running = self._metric(RUNNING_METRIC, "Requests that have no last response yet")
        self._duration = self._metric(
            DURATION_METRIC, "Microseconds from requests to their last responses", counts=True
        )

    def begin(self, count: int) -> None:
        """Count requests that are taken over."""
        with self._lock:
            self._running.increment(count)

    def end(self, seconds: float) -> None:
        """Count a request that has its last response, after so many seconds."""
        with self._lock:
            self._duration.increment(round(seconds * 1e6))
            self._running.increment(-1)

    def record(self, statistics: Statistics) -> None:
        """Show what the engine for GPUs tells of a step, by the names that vLLM gives it."""
        with self._lock:
            if not self._engine:
                self._engine = {
                    name: self._metric(name, description, counts=name.endswith(COUNTER_ENDS))
                    for name, description in ENGINE_METRICS.items()
                }
            for name, value in statistics.metrics().items():
                if name.endswith(COUNTER_ENDS):
                    self._engine[name].increment(value)
                else:
                    self._engine[name].set(value)

    def _metric(self, name: str, description: str, *, counts: bool = False) -> Any:  # noqa: ANN401
        kind = pb_utils.MetricFamily.COUNTER if counts else pb_utils.MetricFamily.GAUGE
        family = pb_utils.MetricFamily(name=name, description=description, kind=kind)
        self._families.append(family)
        return family.Metric(labels={"model": self._model})


class _TritonCall:
    """Implements `ft_serving.server.backend.batch.Call`.

    The sender serves both transaction policies, and answers after Triton has released the request.
    """

    def __init__(self, request: _Request) -> None:
        self._inputs = request.inputs()
        self._sender = request.get_response_sender()

    def tensors(self) -> Mapping[str, AnyArray]:
        """Return views of Triton's memory, which is free again when they are gone."""
        inputs, self._inputs = self._inputs, []
        return {tensor.name(): np.from_dlpack(tensor) for tensor in inputs}

    def is_cancelled(self) -> bool:
        """Ask Triton."""
        return self._sender.is_cancelled()

    def respond(self, tensors: Mapping[str, AnyArray], *, is_last: bool) -> None:
        """Send a copy of the tensors."""
        outputs = [_to_triton(name, array) for name, array in tensors.items()]
        self._send(pb_utils.InferenceResponse(outputs), is_last=is_last)

    def refuse(self, refusal: RefusalCode, message: str) -> None:
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
