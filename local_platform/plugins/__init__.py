"""Provider plugins of Pulumi: which are used, and the stand-ins for the real ones."""

from local_platform.plugins.choice import describe, install

__all__ = ["describe", "install"]
