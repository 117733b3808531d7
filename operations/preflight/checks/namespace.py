"""Checks of the namespace, of objects in it that have the deployment's names, and permissions."""

from collections import defaultdict
from collections.abc import Iterator

from components.cluster import PART, STACK, labels
from ft_serving.cluster.documents import Document, annotation, is_ending, label, name
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs

_ENFORCED = "pod-security.kubernetes.io/enforce"
_RESTRICTED = "restricted"
_ANOTHER = "or set cluster.namespace to another one"


def namespace(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Check that the namespace takes the deployment, and has no service of somebody else's."""
    owner = needs.stack
    for found in facts.all(FactKind.NAMESPACE):
        owner = annotation(found, STACK) or needs.stack
        if is_ending(found):
            yield error(
                f"Namespace {name(found)}",
                found="being deleted",
                needed="one that stays",
                remedy=f"`kubectl wait --for=delete namespace/{name(found)}`, {_ANOTHER}",
            )
        level = label(found, _ENFORCED)
        if level != _RESTRICTED and not is_own(found):
            yield warning(
                f"Pod Security of namespace {name(found)}",
                found=f"{_ENFORCED}={level}" if level else "no level enforced",
                needed=f"{_RESTRICTED}: it is set, and refuses new pods of others that break it",
                remedy=f"`kubectl label --dry-run=server --overwrite namespace {name(found)} "
                f"{_ENFORCED}={_RESTRICTED}` names those, {_ANOTHER}",
            )
    for found in facts.all(FactKind.SERVICE):
        what = f"InferenceService {name(found)} in namespace {needs.namespace}"
        if not is_own(found):
            yield error(
                what,
                found="one that this program did not make",
                needed="the name, for the program's own",
                remedy=f"`kubectl --namespace {needs.namespace} delete inferenceservice "
                f"{name(found)}`, {_ANOTHER}",
            )
        elif owner != needs.stack:
            yield error(
                what,
                found=f"one of stack {owner}",
                needed="a namespace for each stack: two in one take over each other's resources",
                remedy="Set cluster.namespace to another one; where the stack was renamed, "
                f"`kubectl annotate namespace {needs.namespace} {STACK}-`",
            )


def access(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Check that no permission is missing, by kind."""
    by_kind = defaultdict(list)
    for each in facts.denied:
        by_kind[each.group, each.resource, each.namespaced].append(each.verb)
    for (group, resource, namespaced), verbs in sorted(by_kind.items()):
        kind = f"{resource}.{group}" if group else resource
        where = f" in namespace {needs.namespace}" if namespaced else ""
        option = f" --namespace {needs.namespace}" if namespaced else ""
        yield error(
            f"Permission for {kind}{where}",
            found=f"not allowed to {', '.join(sorted(verbs))}",
            needed="permission for these, to deploy",
            remedy=f"Ask for a {'Role' if namespaced else 'ClusterRole'} that grants it; "
            f"`kubectl auth can-i --list{option}` shows what there is",
        )
    if unread := facts.unread():
        yield warning(
            "Reading the cluster",
            found=f"not allowed to read {', '.join(unread)}",
            needed="permission to read them; they were not checked",
            remedy="Ask for a ClusterRole that may get and list them, or check them by hand",
        )


def is_own(document: Document) -> bool:
    """Return whether an object has the labels of the program's objects."""
    own = labels("")
    return all(label(document, key) == value for key, value in own.items() if key != PART)


def is_own_pod(needs: Needs, pod: Document) -> bool:
    """Return whether a pod is the deployment's: the next one may use its resources."""
    return pod["metadata"]["namespace"] == needs.namespace and is_own(pod)
