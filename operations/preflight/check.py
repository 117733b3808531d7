"""From needs and facts to findings."""

from operations.preflight.checks import CHECKS
from operations.preflight.facts import Facts
from operations.preflight.findings import Finding, Severity
from operations.preflight.needs import Needs


def check(needs: Needs, facts: Facts) -> list[Finding]:
    """Say all that is in the way of a deployment, errors first.

    Args:
        needs: What it needs.
        facts: What there is.
    """
    findings = [finding for each in CHECKS for finding in each(needs, facts)]
    return sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
