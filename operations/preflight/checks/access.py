"""What whoever deploys may do, and what could not be looked at."""

from collections import defaultdict
from collections.abc import Iterator

from operations.preflight.facts import Facts
from operations.preflight.findings import Finding, error, warning
from operations.preflight.needs import Needs


def access(needs: Needs, facts: Facts) -> Iterator[Finding]:
    """Permissions that are missing, by kind."""
    by_kind = defaultdict(list)
    for each in facts.denied:
        by_kind[each.group, each.resource, each.namespaced].append(each.verb)
    for (group, resource, namespaced), verbs in sorted(by_kind.items()):
        kind = f"{resource}.{group}" if group else resource
        where = f" in namespace {needs.namespace}" if namespaced else ""
        option = f"--namespace {needs.namespace} " if namespaced else ""
        yield error(
            f"Permission for {kind}{where}",
            found=f"not allowed to {', '.join(sorted(verbs))}",
            needed="that, to deploy",
            remedy=f"Ask for a {'Role' if namespaced else 'ClusterRole'} that grants it; "
            f"`kubectl auth can-i --list {option}`".rstrip("` ")
            + "` shows what there is",
        )
    if unread := facts.unread():
        yield warning(
            "Reading the cluster",
            found=f"not allowed to read {', '.join(unread)}",
            needed="that, to check them: they were left out",
            remedy="Ask for a ClusterRole that may get and list them, or check them by hand",
        )
