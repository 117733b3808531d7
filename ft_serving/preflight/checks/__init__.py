"""The checks, what others build on before them; each takes needs and facts."""

from collections.abc import Callable, Iterator

from ft_serving.preflight.checks.access import access
from ft_serving.preflight.checks.images import images
from ft_serving.preflight.checks.knative import knative
from ft_serving.preflight.checks.namespace import namespace
from ft_serving.preflight.checks.nodes import nodes
from ft_serving.preflight.checks.platform import platform
from ft_serving.preflight.checks.quota import quota
from ft_serving.preflight.checks.storage import storage
from ft_serving.preflight.facts import Facts
from ft_serving.preflight.findings import Finding
from ft_serving.preflight.needs import Needs

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
