"""Imports all of vLLM that serving needs, as on a machine with a GPU, and fills its caches.

    check_vllm.py COMPILER FOLDER     makes libraries in FOLDER that stand in for the driver's
    check_vllm.py                     imports, with those on LD_LIBRARY_PATH

So a package or library that is missing ends the build of the image, and not the first start of a
server.
"""

import importlib
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

SERVING = (
    "vllm.v1.engine.async_llm",
    "vllm.v1.engine.core",
    "vllm.v1.executor.multiproc_executor",
    "vllm.v1.executor.uniproc_executor",
    "vllm.v1.worker.gpu_worker",
    "vllm.v1.worker.gpu_model_runner",
    "vllm.v1.worker.gpu.model_runner",
    "vllm.v1.attention.backends.flash_attn",
    "vllm.v1.attention.backends.triton_attn",
    "vllm.model_executor.layers.quantization.fp8",
    "vllm.model_executor.model_loader.default_loader",
    "vllm.model_executor.warmup.kernel_warmup",
    # Imported by the former's function, whatever the model is.
    "vllm.model_executor.warmup.minimax_m3_msa_warmup",
)
ARCHITECTURES = ("GPTJForCausalLM", "GPTNeoXForCausalLM")

# As much of NVIDIA's library of management as vLLM asks when it looks for GPUs.
NVML = """
int nvmlInitWithFlags(unsigned flags) { return 0; }
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 1; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = 0; return 0; }
int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor)
{ *major = 9; *minor = 0; return 0; }
"""


def stand_in(compiler: str, folder: Path) -> None:
    """Make libraries with the names of the driver's, which a machine without a GPU lacks."""
    packages = Path(sysconfig.get_path("purelib"))
    users = [*packages.glob("vllm/**/*.so"), packages / "triton/backends/nvidia/driver.c"]
    names = {name for path in users for name in _driver_names(path.read_bytes())}
    sources = {
        "libcuda.so.1": "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(names)),
        "libnvidia-ml.so.1": NVML,
    }
    for library, code in sources.items():
        source = folder / f"{library}.c"
        source.write_text(code)
        options = ("-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library)
        subprocess.run([compiler, *options, source], check=True)


def _driver_names(content: bytes) -> Iterable[str]:
    return (name.decode() for name in re.findall(rb"\bcu[A-Z]\w+", content))


def check() -> None:
    """Import all modules, and let vLLM and Triton write to their caches."""
    from triton.backends.nvidia.driver import CudaDriver, CudaUtils

    # Or vLLM would leave out all that is written in Triton.
    CudaDriver.is_active = staticmethod(lambda: True)
    from vllm.platforms import current_platform

    if not current_platform.is_cuda():
        sys.exit(
            "vLLM does not take the stand-ins for NVIDIA's driver: its kernels are not checked"
        )
    for module in SERVING:
        importlib.import_module(module)
    from vllm.model_executor.models import ModelRegistry

    for architecture in ARCHITECTURES:
        model = ModelRegistry.models[architecture]
        importlib.import_module(model.module_name)
        # In a process of its own, which is what takes long in a first start.
        model.inspect_model_cls()
    CudaUtils()


if __name__ == "__main__":
    if sys.argv[1:]:
        stand_in(sys.argv[1], Path(sys.argv[2]))
    else:
        check()
