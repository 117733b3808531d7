"""The checks of a cluster; each yields its findings from needs and facts."""

from collections.abc import Callable, Iterator

from operations.preflight.checks.images import images
from operations.preflight.checks.knative import knative
from operations.preflight.checks.namespace import access, namespace
from operations.preflight.checks.nodes import nodes
from operations.preflight.checks.platform import platform
from operations.preflight.checks.quota import quota
from operations.preflight.checks.storage import storage
from operations.preflight.facts import Facts, PreflightFinding, Severity
from operations.preflight.needs import Needs

Check = Callable[[Needs, Facts], Iterator[PreflightFinding]]

CHECKS: tuple[Check, ...] = (platform, knative, access, namespace, quota, storage, nodes, images)
"""Checks that others depend on come before them."""


def check(needs: Needs, facts: Facts) -> list[PreflightFinding]:
    """Return all that is in the way of a deployment, errors first."""
    findings = [finding for each in CHECKS for finding in each(needs, facts)]
    return sorted(findings, key=lambda finding: finding.severity is not Severity.ERROR)
