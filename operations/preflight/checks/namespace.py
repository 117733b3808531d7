"""The namespace, and what is in it under the names that the deployment takes."""

from collections.abc import Iterator

from ft_serving.cluster.documents import Document, label, name
from operations.preflight.facts import Facts, Kind
from operations.preflight.findings import Finding, error, warning
from operations.preflight.needs import Needs

_ENFORCED = "pod-security.kubernetes.io/enforce"
_RESTRICTED = "restricted"
_ANOTHER = "or set cluster.namespace to another one"


def namespace(needs: Needs, facts: Facts) -> Iterator[Finding]:
    """A namespace that takes the deployment, without a service of somebody else's."""
    for found in facts.all(Kind.NAMESPACE):
        if found["metadata"].get("deletionTimestamp"):
            yield error(
                f"Namespace {name(found)}",
                found="it being deleted",
                needed="one that stays",
                remedy=f"`kubectl wait --for=delete namespace/{name(found)}`, {_ANOTHER}",
            )
        level = label(found, _ENFORCED)
        if level != _RESTRICTED and not is_own(needs, found):
            yield warning(
                f"Pod Security of namespace {name(found)}",
                found=f"{_ENFORCED}={level}" if level else "no level enforced",
                needed=f"{_RESTRICTED}: it is set, and refuses new pods of others that break it",
                remedy=f"`kubectl label --dry-run=server --overwrite namespace {name(found)} "
                f"{_ENFORCED}={_RESTRICTED}` names those, {_ANOTHER}",
            )
    for found in facts.all(Kind.SERVICE):
        if not is_own(needs, found):
            yield error(
                f"InferenceService {name(found)} in namespace {needs.namespace}",
                found="one that this program did not make",
                needed="the name for its own",
                remedy=f"`kubectl --namespace {needs.namespace} delete inferenceservice "
                f"{name(found)}`, {_ANOTHER}",
            )
        elif (owner := _stack(needs, facts)) is not None:
            yield error(
                f"InferenceService {name(found)} in namespace {needs.namespace}",
                found=f"that of stack {owner}",
                needed="a namespace for each stack: two in one take each other's resources over",
                remedy="set cluster.namespace to another one; where the stack was renamed, "
                f"`kubectl annotate namespace {needs.namespace} {needs.stack_mark[0]}-`",
            )


def _stack(needs: Needs, facts: Facts) -> str | None:
    """The other stack that the namespace says that it is of."""
    key, own = needs.stack_mark
    for found in facts.all(Kind.NAMESPACE):
        marked = found["metadata"].get("annotations", {}).get(key, own)
        return None if marked == own else str(marked)
    return None


def is_own(needs: Needs, document: Document) -> bool:
    """Whether an object has the labels of what this program makes."""
    return all(label(document, key) == value for key, value in needs.own_labels.items())


def is_own_pod(needs: Needs, pod: Document) -> bool:
    """Whether a pod is the deployment's: what it holds is free for the one that follows."""
    return pod["metadata"]["namespace"] == needs.namespace and is_own(needs, pod)
