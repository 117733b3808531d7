"""Why a deployed InferenceService does not become ready, in words.

`diagnose` is a pure function of API documents; `ft_serving.diagnosis.cluster` reads them, which
needs the extra `cluster`.
"""

from ft_serving.diagnosis.diagnose import diagnose
from ft_serving.diagnosis.snapshot import Kind, Snapshot
from ft_serving.diagnosis.verdict import Cause, Finding, State, Verdict

__all__ = ["Cause", "Finding", "Kind", "Snapshot", "State", "Verdict", "diagnose"]
