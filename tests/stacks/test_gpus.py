"""The catalogue of GPUs."""

import pytest

from ft_serving.core.dtypes import DType
from stacks.gpus import GPUS, NodeLabels, NodeRequirement

MARKETED_GB = {
    "T4": 16,
    "RTX_A4000": 16,
    "V100": 16,
    "RTX_A5000": 24,
    "V100_32GB": 32,
    "A100_40GB": 40,
    "A40": 48,
    "L40S": 48,
    "RTX_A6000": 48,
    "A100_80GB": 80,
    "H100": 80,
}


def test_the_catalogue_has_every_gpu_that_is_promised() -> None:
    assert set(GPUS) == set(MARKETED_GB)


@pytest.mark.parametrize(("name", "marketed"), MARKETED_GB.items())
def test_memory_is_what_programs_see_and_not_what_is_marketed(name: str, marketed: int) -> None:
    memory = GPUS[name].memory_bytes / 2**30
    assert 0.9 * marketed <= memory < marketed, "ECC and the driver take a part of it"


def test_bf16_needs_ampere() -> None:
    without = {name for name, gpu in GPUS.items() if not gpu.supports(DType.BF16)}
    assert without == {"T4", "V100", "V100_32GB"}
    assert all(gpu.supports(dtype) for gpu in GPUS.values() for dtype in (DType.FP16, DType.FP32))


def test_coreweave_finds_its_nodes_by_class() -> None:
    assert GPUS["RTX_A5000"].node_requirement(NodeLabels.COREWEAVE) == NodeRequirement(
        key="gpu.nvidia.com/class", values=("RTX_A5000",)
    )


def test_nvidia_finds_every_shape_of_a_gpu() -> None:
    assert GPUS["H100"].node_requirement(NodeLabels.NVIDIA) == NodeRequirement(
        key="nvidia.com/gpu.product", values=("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe")
    )


def test_what_a_cluster_does_not_have_has_no_label() -> None:
    assert GPUS["T4"].node_requirement(NodeLabels.COREWEAVE) is None
    assert GPUS["T4"].node_requirement(NodeLabels.NONE) is None


@pytest.mark.parametrize("labels", [NodeLabels.COREWEAVE, NodeLabels.NVIDIA])
def test_no_two_gpus_share_a_label(labels: NodeLabels) -> None:
    found = [gpu.node_requirement(labels) for gpu in GPUS.values()]
    values = [value for each in found if each for value in each.values]
    assert len(values) == len(set(values)), "a pod would land on a GPU it was not sized for"
