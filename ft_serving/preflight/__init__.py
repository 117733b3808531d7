"""What of a cluster would keep a deployment from succeeding, told before anything is made.

`check` is a pure function of what a deployment needs and what API documents say;
`ft_serving.preflight.cluster` reads those, which needs the extra `cluster`.
"""

from ft_serving.preflight.check import check
from ft_serving.preflight.facts import Facts, Kind, RegistryAnswer
from ft_serving.preflight.findings import Finding, Severity
from ft_serving.preflight.needs import Claim, Needs, Permission, Registry

__all__ = [
    "Claim",
    "Facts",
    "Finding",
    "Kind",
    "Needs",
    "Permission",
    "Registry",
    "RegistryAnswer",
    "Severity",
    "check",
]
