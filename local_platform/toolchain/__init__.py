"""The platform's tools: pinned, built once, kept in a cache.

`prepare` brings them to a machine, `find` finds them there without building any.
"""

from local_platform.toolchain.preparation import prepare
from local_platform.toolchain.store import BuildRecord, Toolchain, find

__all__ = ["BuildRecord", "Toolchain", "find", "prepare"]
