"""The platform's tools: pinned, built once, kept in a cache.

`prepare` builds those that a machine lacks; `find` finds them without building any.
"""

from local_platform.toolchain.groups import KUBERNETES_PLUGIN, KUBERNETES_SDK
from local_platform.toolchain.preparation import build_missing, discard_scratch, prepare
from local_platform.toolchain.store import BuildRecord, Toolchain, find, missing

__all__ = [
    "KUBERNETES_PLUGIN",
    "KUBERNETES_SDK",
    "BuildRecord",
    "Toolchain",
    "build_missing",
    "discard_scratch",
    "find",
    "missing",
    "prepare",
]
