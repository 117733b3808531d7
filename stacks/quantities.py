"""Kubernetes quantities (`k8s.io/apimachinery/pkg/api/resource`), as far as settings need them."""

import math

BYTES_PATTERN = r"^[1-9][0-9]{0,14}(Ki|Mi|Gi|Ti|k|M|G|T)?$"
CPU_PATTERN = r"^[1-9][0-9]{0,5}m?$"

MIB, GIB = 1 << 20, 1 << 30
_UNITS = {
    "Ki": 1 << 10, "Mi": MIB, "Gi": GIB, "Ti": 1 << 40,
    "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
}  # fmt: skip


def parse_bytes(quantity: str) -> int:
    """Return the bytes of a quantity that matches `BYTES_PATTERN`."""
    digits = quantity.rstrip("KMGTik")
    return int(digits) * _UNITS.get(quantity.removeprefix(digits), 1)


def millicores(quantity: str) -> int:
    """Return the thousandths of a core in a quantity that matches `CPU_PATTERN`."""
    return int(quantity.removesuffix("m")) * (1 if quantity.endswith("m") else 1000)


def whole_cores(quantity: str) -> int:
    """Return the whole cores in a quantity that matches `CPU_PATTERN`, at least 1."""
    return max(1, millicores(quantity) // 1000)


def quantity(count: int) -> str:
    """Return the quantity of at least `count` bytes: steps of 64 MiB, from 4 GiB on of 1 GiB.

    It is in the form that Kubernetes gives back, so that reading it is no difference.
    """
    step = GIB if count > 4 * GIB else 64 * MIB
    mebibytes = math.ceil(count / step) * step // MIB
    return f"{mebibytes // 1024}Gi" if mebibytes % 1024 == 0 else f"{mebibytes}Mi"


def in_gib(count: int) -> str:
    """Return bytes as an error shows them."""
    return f"{count / GIB:.1f} GiB"
