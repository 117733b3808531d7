"""Counts the GPUs of this machine without starting CUDA: a process that has cannot fork."""

import ctypes

from ft_serving.server.errors import ServerError

_NVML = "libnvidia-ml.so.1"


def require_gpus(count: int) -> None:
    """Raise `ServerError` if NVIDIA's driver shows fewer GPUs."""
    found = _gpus()
    if found < count:
        raise ServerError(
            f"this engine needs {count} GPU{'s' if count > 1 else ''}, and the machine shows "
            f"{found or 'none'}: give the container nvidia.com/gpu: {count} on a node that has "
            "NVIDIA's driver, or set serving.engine to cpu"
        )


def _gpus() -> int:
    """https://docs.nvidia.com/deploy/nvml-api: nvmlInit_v2, nvmlDeviceGetCount_v2."""
    try:
        nvml = ctypes.CDLL(_NVML)
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if nvml.nvmlInit_v2() != 0 or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return 0
    return count.value
