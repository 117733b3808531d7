"""The catalogue of GPUs, and how clouds label nodes that have them."""

import pytest

from ft_serving.core.dtypes import Precision
from stacks.gpus import GPUS, NODE_LABELS, NodeRequirement, labelled_gpu

VOLTA, TURING, AMPERE, SMALL_AMPERE = (7, 0), (7, 5), (8, 0), (8, 6)
ADA, HOPPER, BLACKWELL, SMALL_BLACKWELL = (8, 9), (9, 0), (10, 0), (12, 0)

MARKETED = {
    "T4": (16, TURING),
    "RTX_A4000": (16, SMALL_AMPERE),
    "V100": (16, VOLTA),
    "A10": (24, SMALL_AMPERE),
    "RTX_A5000": (24, SMALL_AMPERE),
    "RTX_4090": (24, ADA),
    "L4": (24, ADA),
    "V100_32GB": (32, VOLTA),
    "A100_40GB": (40, AMPERE),
    "A40": (48, SMALL_AMPERE),
    "L40S": (48, ADA),
    "RTX_6000_ADA": (48, ADA),
    "RTX_A6000": (48, SMALL_AMPERE),
    "A100_80GB": (80, AMPERE),
    "H100": (80, HOPPER),
    "RTX_PRO_6000": (96, SMALL_BLACKWELL),
    "H200": (141, HOPPER),
    "B200": (180, BLACKWELL),
}
"""Gigabytes and architecture, as NVIDIA sells them."""


@pytest.mark.parametrize("name", MARKETED)
def test_a_gpu_has_its_architecture_and_the_memory_that_programs_see(name: str) -> None:
    marketed, capability = MARKETED[name]
    assert GPUS[name].compute_capability == capability
    memory = GPUS[name].memory_bytes / 2**30
    assert 0.9 * marketed <= memory < marketed, "ECC and the driver take a part of it"


def test_a_message_proposes_small_gpus_first() -> None:
    assert list(GPUS) == list(MARKETED)
    memories = [marketed for marketed, _ in MARKETED.values()]
    assert memories == sorted(memories)


def test_bf16_needs_ampere_and_fp8_ada() -> None:
    without = {name for name, gpu in GPUS.items() if not gpu.supports(Precision.BF16)}
    assert without == {"T4", "V100", "V100_32GB"}
    with_fp8 = {name for name, gpu in GPUS.items() if gpu.supports(Precision.FP8)}
    assert with_fp8 == {
        *("RTX_4090", "L4", "L40S", "RTX_6000_ADA", "H100", "RTX_PRO_6000", "H200", "B200")
    }
    everywhere = (Precision.FP16, Precision.FP32)
    assert all(gpu.supports(precision) for gpu in GPUS.values() for precision in everywhere)


def test_nvidia_finds_every_shape_of_every_gpu() -> None:
    nvidia = NODE_LABELS["nvidia"]
    assert nvidia.requirement("H100") == NodeRequirement(
        key="nvidia.com/gpu.product", values=("NVIDIA-H100-80GB-HBM3", "NVIDIA-H100-PCIe")
    )
    assert set(nvidia.values) == set(GPUS)


@pytest.mark.parametrize("cloud", NODE_LABELS)
def test_labels_lead_to_the_gpu_that_a_pod_was_sized_for(cloud: str) -> None:
    labels = NODE_LABELS[cloud]
    values = [value for each in labels.values.values() for value in each]
    assert len(values) == len(set(values)), "a pod would land on a GPU it was not sized for"
    for gpu in labels.values:
        requirement = labels.requirement(gpu)
        assert gpu in GPUS
        assert requirement is not None
        assert labelled_gpu(requirement) == gpu
