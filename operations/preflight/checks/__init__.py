"""The checks, what others build on before them; each takes needs and facts."""

from collections.abc import Callable, Iterator

from operations.preflight.checks.access import access
from operations.preflight.checks.images import images
from operations.preflight.checks.knative import knative
from operations.preflight.checks.namespace import namespace
from operations.preflight.checks.nodes import nodes
from operations.preflight.checks.platform import platform
from operations.preflight.checks.quota import quota
from operations.preflight.checks.storage import storage
from operations.preflight.facts import Facts
from operations.preflight.findings import Finding
from operations.preflight.needs import Needs

Check = Callable[[Needs, Facts], Iterator[Finding]]

CHECKS: tuple[Check, ...] = (
    platform,
    knative,
    access,
    namespace,
    quota,
    storage,
    nodes,
    images,
)
