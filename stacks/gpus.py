"""The catalogue of GPUs, and the labels by which clouds' nodes are found to have them.

Sources:
    Memory is what CUDA reports to a program (`cudaDeviceProp.totalGlobalMem`), rounded down over
    drivers and with ECC where it costs memory; the marketed number is larger.
    Compute capabilities: NVIDIA's table "CUDA GPU Compute Capability". bf16 needs 8.0, fp8 8.9.
    `gpu.nvidia.com/class`: CoreWeave's "Node Types" and "Resource Based Pricing" pages, and public
    examples (coreweave/kubernetes-cloud; SkyPilot's label formatter for H200 and B200). CoreWeave
    lists no T4, A10, L4, RTX 4090 and RTX 6000 Ada, and no class of its RTX PRO 6000.
    `nvidia.com/gpu.product`: the device's name with hyphens for spaces, by NVIDIA's GPU feature
    discovery (NVIDIA/k8s-device-plugin, `internal/lm/resource.go`); one model has several names
    where it is built in several shapes, and drivers before 2021 leave out `NVIDIA-`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ft_serving.core.dtypes import Precision
from stacks.quantities import MIB

NONE = "none"
"""The type of a stack without GPUs, and the labels of nodes that have none."""

GPUS_PER_NODE = 8
"""The most that the nodes of these GPUs have; a model is served within one node."""

_NEEDED_CAPABILITIES = {Precision.BF16: (8, 0), Precision.FP8: (8, 9)}
"""The formats that not every GPU of the catalogue computes in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One model of GPU.

    Attributes:
        memory_bytes: Memory that programs can have.
        compute_capability: Major and minor: the architecture that an engine must have code for.
    """

    memory_bytes: int
    compute_capability: tuple[int, int]

    def supports(self, precision: Precision) -> bool:
        """Return whether it computes in a format."""
        return self.compute_capability >= _NEEDED_CAPABILITIES.get(precision, (0, 0))


def _gpu(mebibytes: int, capability: tuple[int, int]) -> Gpu:
    return Gpu(memory_bytes=mebibytes * MIB, compute_capability=capability)


# By memory as marketed, then by age: a message proposes the first that fits.
GPUS = {
    "T4": _gpu(14_900, (7, 5)),
    "RTX_A4000": _gpu(16_090, (8, 6)),
    "V100": _gpu(16_150, (7, 0)),
    "A10": _gpu(22_400, (8, 6)),
    "RTX_A5000": _gpu(24_230, (8, 6)),
    "RTX_4090": _gpu(24_000, (8, 9)),
    "L4": _gpu(22_400, (8, 9)),
    "V100_32GB": _gpu(32_490, (7, 0)),
    "A100_40GB": _gpu(40_330, (8, 0)),
    "A40": _gpu(45_400, (8, 6)),
    "L40S": _gpu(45_400, (8, 9)),
    "RTX_6000_ADA": _gpu(45_400, (8, 9)),
    "RTX_A6000": _gpu(48_540, (8, 6)),
    "A100_80GB": _gpu(81_040, (8, 0)),
    "H100": _gpu(80_990, (9, 0)),
    "RTX_PRO_6000": _gpu(97_000, (12, 0)),
    "H200": _gpu(143_000, (9, 0)),
    "B200": _gpu(182_000, (10, 0)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRequirement:
    """A label that a node must have, with any of some values."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeLabels:
    """The labels by which a cloud, or an operator in the cluster, names the GPUs of nodes.

    Attributes:
        key: The label's key.
        values: The label's values by type of GPU; a type is left out where the cloud has none.
        regional_storage_classes: Whether a StorageClass ends in the region of its volumes, which
            pods elsewhere cannot mount.
    """

    key: str
    values: Mapping[str, tuple[str, ...]]
    regional_storage_classes: bool = False

    def requirement(self, gpu: str) -> NodeRequirement | None:
        """Return the label of the nodes with a type of GPU; None where it has no value."""
        values = self.values.get(gpu)
        return None if values is None else NodeRequirement(key=self.key, values=values)


NODE_LABELS = {
    "coreweave": NodeLabels(
        key="gpu.nvidia.com/class",
        values={
            "RTX_A4000": ("RTX_A4000",),
            "V100": ("Tesla_V100", "Tesla_V100_NVLINK"),
            "RTX_A5000": ("RTX_A5000",),
            "A100_40GB": ("A100_NVLINK", "A100_PCIE_40GB"),
            "A40": ("A40",),
            "L40S": ("L40S",),
            "RTX_A6000": ("RTX_A6000",),
            "A100_80GB": ("A100_NVLINK_80GB", "A100_PCIE_80GB"),
            "H100": ("H100_NVLINK_80GB", "H100_PCIE"),
            "H200": ("H200",),
            "B200": ("B200",),
        },
        regional_storage_classes=True,
    ),
    "nvidia": NodeLabels(
        key="nvidia.com/gpu.product",
        values={
            "T4": ("Tesla-T4",),
            "RTX_A4000": ("NVIDIA-RTX-A4000", "RTX-A4000"),
            "V100": ("Tesla-V100-SXM2-16GB", "Tesla-V100-PCIE-16GB"),
            "A10": ("NVIDIA-A10", "NVIDIA-A10G"),
            "RTX_A5000": ("NVIDIA-RTX-A5000", "RTX-A5000"),
            "RTX_4090": ("NVIDIA-GeForce-RTX-4090",),
            "L4": ("NVIDIA-L4",),
            "V100_32GB": ("Tesla-V100-SXM2-32GB", "Tesla-V100-PCIE-32GB"),
            "A100_40GB": (
                "NVIDIA-A100-SXM4-40GB",
                "NVIDIA-A100-PCIE-40GB",
                "A100-SXM4-40GB",
                "A100-PCIE-40GB",
            ),
            "A40": ("NVIDIA-A40", "A40"),
            "L40S": ("NVIDIA-L40S",),
            "RTX_6000_ADA": ("NVIDIA-RTX-6000-Ada-Generation",),
            "RTX_A6000": ("NVIDIA-RTX-A6000", "RTX-A6000"),
            "A100_80GB": ("NVIDIA-A100-SXM4-80GB", "NVIDIA-A100-80GB-PCIe", "A100-SXM-80GB"),
            "H100": ("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe"),
            "RTX_PRO_6000": (
                "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition",
                "NVIDIA-RTX-PRO-6000-Blackwell-Workstation-Edition",
                "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition",
            ),
            "H200": ("NVIDIA-H200", "NVIDIA-H200-NVL"),
            "B200": ("NVIDIA-B200",),
        },
    ),
}
"""The kinds of labels, by the names that `scheduling.nodeLabels` takes."""


def labelled_gpu(requirement: NodeRequirement) -> str | None:
    """Return the type of GPU that the nodes with a label have; None for another label."""
    for labels in NODE_LABELS.values():
        for gpu in labels.values:
            if labels.requirement(gpu) == requirement:
                return gpu
    return None
