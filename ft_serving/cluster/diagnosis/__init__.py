"""Explains why a deployed InferenceService does not become ready, or a Job does not succeed.

`diagnose` and `diagnose_job` are pure functions of API documents; the module `namespace` reads
those, which needs the extra `cluster`.
"""

from ft_serving.cluster.diagnosis.diagnose import diagnose, diagnose_job
from ft_serving.cluster.diagnosis.snapshot import JobSnapshot, Kind, NamespaceSnapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding, State, Verdict

__all__ = [
    "Cause",
    "Finding",
    "JobSnapshot",
    "Kind",
    "NamespaceSnapshot",
    "State",
    "Verdict",
    "diagnose",
    "diagnose_job",
]
