"""Why a deployed InferenceService does not become ready, or a Job does not succeed, in words.

`diagnose` and `diagnose_job` are pure functions of API documents; the module `cluster` reads those,
which needs the extra `cluster`.
"""

from ft_serving.cluster.diagnosis.diagnose import diagnose, diagnose_job
from ft_serving.cluster.diagnosis.job_snapshot import JobSnapshot
from ft_serving.cluster.diagnosis.snapshot import Kind, Snapshot
from ft_serving.cluster.diagnosis.verdict import Cause, Finding, State, Verdict

__all__ = [
    "Cause",
    "Finding",
    "JobSnapshot",
    "Kind",
    "Snapshot",
    "State",
    "Verdict",
    "diagnose",
    "diagnose_job",
]
