"""The sections of a stack's configuration: their settings, defaults and ranges.

In YAML the names are camelCase. Values are never converted: a text is no number. What takes more
than one section to judge is in `stacks.rules`.
"""

from stacks.sections.base import Section
from stacks.sections.cluster import (
    AccessMode,
    ClusterSettings,
    Cost,
    HubSettings,
    Preflight,
    Scheduling,
    StorageSettings,
    TolerationOperator,
)
from stacks.sections.image import Images, ImageSource
from stacks.sections.model import Golden, Model, Tokenizer
from stacks.sections.serving import (
    ColdStart,
    GpuSettings,
    Mode,
    Replicas,
    Resources,
    ScaleMetric,
    Serving,
)

__all__ = [
    "AccessMode",
    "ClusterSettings",
    "ColdStart",
    "Cost",
    "Golden",
    "GpuSettings",
    "HubSettings",
    "ImageSource",
    "Images",
    "Mode",
    "Model",
    "Preflight",
    "Replicas",
    "Resources",
    "ScaleMetric",
    "Scheduling",
    "Section",
    "Serving",
    "StorageSettings",
    "Tokenizer",
    "TolerationOperator",
]
