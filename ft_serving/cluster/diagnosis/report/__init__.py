"""Reports the state of a deployment with all that belongs to it, on one screen or as JSON.

`report` is a pure function of a snapshot, like `diagnose`; `screen` needs rich and no cluster.
"""

from ft_serving.cluster.diagnosis.report.build import report
from ft_serving.cluster.diagnosis.report.model import Report, Standing

__all__ = ["Report", "Standing", "report"]
