"""From needs and facts to findings."""

from ft_serving.preflight.checks import CHECKS
from ft_serving.preflight.facts import Facts
from ft_serving.preflight.findings import Finding, Severity
from ft_serving.preflight.needs import Needs


def check(needs: Needs, facts: Facts) -> list[Finding]:
    """Say all that is in the way of a deployment, errors first.

    Args:
        needs: What it needs.
        facts: What there is.
    """
    findings = [finding for each in CHECKS for finding in each(needs, facts)]
    return sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
