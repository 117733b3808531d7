"""The catalogue of GPUs.

Sources:
    Memory is what CUDA reports to a program (`cudaDeviceProp.totalGlobalMem`), rounded down over
    drivers and with ECC where it costs memory; the marketed number is larger.
    Compute capabilities: NVIDIA's table "CUDA GPU Compute Capability". bf16 needs 8.0.
    `gpu.nvidia.com/class`: CoreWeave's "Node Types" and "Resource Based Pricing" pages, and its
    public examples (coreweave/kubernetes-cloud); CoreWeave lists no T4.
    `nvidia.com/gpu.product`: the device's name with hyphens for spaces, by NVIDIA's GPU feature
    discovery (NVIDIA/k8s-device-plugin, `internal/lm/resource.go`); one model has several names
    where it is built in several shapes, and drivers before 2021 leave out `NVIDIA-`.
"""

from dataclasses import dataclass
from enum import StrEnum

from ft_serving.core.dtypes import DType
from stacks.quantities import MIB

NONE = "none"
"""The type of a stack without GPUs."""

GPUS_PER_NODE = 8
"""The most that the nodes of these GPUs have; a model is served within one node."""


class NodeLabels(StrEnum):
    """Who labels a cluster's nodes with the GPUs that they have."""

    COREWEAVE = "coreweave"
    NVIDIA = "nvidia"
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRequirement:
    """A label that a node must have, with any of some values."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One model of GPU.

    Attributes:
        memory_bytes: Memory that programs can have.
        compute_capability: Major and minor: the SM that a backend must be compiled for.
        coreweave_classes: Values of `gpu.nvidia.com/class`; none where CoreWeave has no such GPU.
        nvidia_products: Values of `nvidia.com/gpu.product`.
    """

    memory_bytes: int
    compute_capability: tuple[int, int]
    coreweave_classes: tuple[str, ...]
    nvidia_products: tuple[str, ...]

    def supports(self, dtype: DType) -> bool:
        """Tell whether it computes in a format."""
        return dtype is not DType.BF16 or self.compute_capability >= (8, 0)

    def node_requirement(self, labels: NodeLabels) -> NodeRequirement | None:
        """Return the label by which a cluster's nodes with this GPU are found.

        None where nodes have no such labels, or where that cluster knows no such GPU.
        """
        match labels:
            case NodeLabels.COREWEAVE:
                key, values = "gpu.nvidia.com/class", self.coreweave_classes
            case NodeLabels.NVIDIA:
                key, values = "nvidia.com/gpu.product", self.nvidia_products
            case NodeLabels.NONE:
                return None
        return NodeRequirement(key=key, values=values) if values else None


def _gpu(
    mebibytes: int, capability: tuple[int, int], coreweave: tuple[str, ...], nvidia: tuple[str, ...]
) -> Gpu:
    return Gpu(
        memory_bytes=mebibytes * MIB,
        compute_capability=capability,
        coreweave_classes=coreweave,
        nvidia_products=nvidia,
    )


# By memory as marketed, then by age: a message proposes the first that fits.
GPUS = {
    "T4": _gpu(14_900, (7, 5), (), ("Tesla-T4",)),
    "RTX_A4000": _gpu(16_090, (8, 6), ("RTX_A4000",), ("NVIDIA-RTX-A4000", "RTX-A4000")),
    "V100": _gpu(
        16_150,
        (7, 0),
        ("Tesla_V100", "Tesla_V100_NVLINK"),
        ("Tesla-V100-SXM2-16GB", "Tesla-V100-PCIE-16GB"),
    ),
    "RTX_A5000": _gpu(24_230, (8, 6), ("RTX_A5000",), ("NVIDIA-RTX-A5000", "RTX-A5000")),
    "V100_32GB": _gpu(32_490, (7, 0), (), ("Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-32GB")),
    "A100_40GB": _gpu(
        40_330,
        (8, 0),
        ("A100_NVLINK", "A100_PCIE_40GB"),
        ("NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-PCIE-40GB", "A100-SXM4-40GB", "A100-PCIE-40GB"),
    ),
    "A40": _gpu(45_400, (8, 6), ("A40",), ("NVIDIA-A40", "A40")),
    "L40S": _gpu(45_400, (8, 9), ("L40S",), ("NVIDIA-L40S",)),
    "RTX_A6000": _gpu(48_540, (8, 6), ("RTX_A6000",), ("NVIDIA-RTX-A6000", "RTX-A6000")),
    "A100_80GB": _gpu(
        81_040,
        (8, 0),
        ("A100_NVLINK_80GB", "A100_PCIE_80GB"),
        ("NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe", "A100-SXM-80GB"),
    ),
    "H100": _gpu(
        80_990,
        (9, 0),
        ("H100_NVLINK_80GB", "H100_PCIE"),
        ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe"),
    ),
}
