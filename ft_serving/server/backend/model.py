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
from ft_serving.server.vllm.statistics import COUNTER_ENDS, ENGINE_METRICS

_METRICS = {
    RUNNING_METRIC: "Requests that have no last response yet",
    DURATION_METRIC: "Microseconds from requests to their last responses",
    **ENGINE_METRICS,
}
_METRICS_SECONDS = 0.1

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
    """The class that Triton makes an instance of and calls."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the model, or say why not: Triton prints the message and does not get ready."""
        try:
            config = read_config(args)
            self._metrics = _Metrics(args["model_name"])
            engine = open_engine(config, self._metrics.record)
        except FtServingError as exc:
            raise pb_utils.TritonModelException(str(exc)) from exc
        self._runner = Runner(
            engine,
            streaming=config.streaming,
            output_types=config.output_types,
            meter=self._metrics,
            room=_answer_room(),
        )
        self._watchdog = Watchdog()

    def execute(self, requests: Sequence[_Request]) -> None:
        """Take requests over, and let Triton hand on others while they are computed."""
        self._runner.submit([_TritonCall(request) for request in requests])

    def finalize(self) -> None:
        """Let the server unload the model."""
        self._runner.close()
        self._metrics.close()
        self._watchdog.dismiss()


def _answer_room() -> int:
    """Return half of the shared memory by which answers get to Triton; requests come by it, too."""
    memory = os.statvfs("/dev/shm")  # noqa: S108 (Triton's choice)
    return memory.f_blocks * memory.f_frsize // 2


class _Metrics:
    """Implements `ft_serving.server.backend.batch.Meter` by metrics of Triton.

    Triton's own durations end when requests are taken over.

    Each change of a metric is a message to Triton's process and back, which would hold up requests
    and tokens; and two threads that change one at once make Triton 2.51 read freed memory. So
    changes are added up, and one thread passes them on.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        # The families must live as long as their metrics.
        self._metrics: dict[str, tuple[Any, Any]] = {}
        self._lock = threading.Lock()
        self._gauges: dict[str, float] = {RUNNING_METRIC: 0}
        self._counts: dict[str, float] = {DURATION_METRIC: 0}
        self._told: dict[str, float] = {}
        self._is_closing = threading.Event()
        self._pass_on()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def begin(self, count: int) -> None:
        """Count requests that are taken over."""
        with self._lock:
            self._gauges[RUNNING_METRIC] += count

    def end(self, seconds: float) -> None:
        """Count a request that has its last response, after so many seconds."""
        with self._lock:
            self._counts[DURATION_METRIC] += round(seconds * 1e6)
            self._gauges[RUNNING_METRIC] -= 1

    def record(self, statistics: Mapping[str, float]) -> None:
        """Take what the engine for GPUs tells of a step, by the names that vLLM gives it."""
        with self._lock:
            for name, value in statistics.items():
                if name.endswith(COUNTER_ENDS):
                    self._counts[name] = self._counts.get(name, 0) + value
                else:
                    self._gauges[name] = value

    def close(self) -> None:
        """Pass on what is left, and stop."""
        self._is_closing.set()
        self._thread.join()
        self._pass_on()

    def _run(self) -> None:
        while not self._is_closing.wait(_METRICS_SECONDS):
            self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            gauges, counts = dict(self._gauges), self._counts
            self._counts = dict.fromkeys(counts, 0)
        for name, value in gauges.items():
            if value != self._told.get(name):
                self._metric(name, pb_utils.MetricFamily.GAUGE).set(value)
        self._told = gauges
        for name, value in counts.items():
            metric = self._metric(name, pb_utils.MetricFamily.COUNTER)
            if value:
                metric.increment(value)

    def _metric(self, name: str, kind: object) -> Any:  # noqa: ANN401
        if name not in self._metrics:
            family = pb_utils.MetricFamily(name=name, description=_METRICS[name], kind=kind)
            self._metrics[name] = family, family.Metric(labels={"model": self._model})
        return self._metrics[name][1]


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
