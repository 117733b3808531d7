"""What pods may do with the Kubernetes API."""

from collections.abc import Iterator

from policy.pods import pods
from policy.resource import UNKNOWN, ResourceRule, StackResource, items_of, mapping_at, mappings_of

ACCOUNTS_WITH_TOKENS = frozenset({"ft-serving-gate"})
"""Service accounts whose pods ask the Kubernetes API: the gates read why a deployment fails."""

_RBAC = "rbac.authorization.k8s.io"


def _tokens(resource: StackResource) -> Iterator[str]:
    rule = "automountServiceAccountToken: must be false"
    if (
        resource.kind == "ServiceAccount"
        and resource.properties.get("automountServiceAccountToken") is not False
    ):
        yield f"{rule}; a pod that needs a token says so itself"
    for pod in pods(resource):
        allowed = pod.spec.get("serviceAccountName") in {*ACCOUNTS_WITH_TOKENS, UNKNOWN}
        if pod.spec.get("automountServiceAccountToken") is not False and not allowed:
            yield f"{pod.path}.{rule}"


def _no_wildcards(resource: StackResource) -> Iterator[str]:
    if resource.in_group(_RBAC):
        for index, rule in mappings_of(resource.properties.get("rules")):
            for field, values in rule.items():
                if any("*" in str(value) for value in items_of(values)):
                    yield f"rules[{index}].{field}: must name what is meant; got {list(values)}"


def _no_secrets(resource: StackResource) -> Iterator[str]:
    if resource.in_group(_RBAC):
        for index, rule in mappings_of(resource.properties.get("rules")):
            if "secrets" in items_of(rule.get("resources")):
                yield f"rules[{index}].resources: must not have secrets; mount them by name"


def _no_cluster_roles(resource: StackResource) -> Iterator[str]:
    if not resource.in_group(_RBAC):
        return
    if resource.kind.startswith("ClusterRole"):
        yield f"kind: must be {resource.kind.removeprefix('Cluster')}, in the stack's namespace"
    role = mapping_at(resource.properties, "roleRef")
    if resource.kind == "RoleBinding" and role.get("kind") == "ClusterRole":
        yield f"roleRef: must be a Role of the stack's own; got ClusterRole {role.get('name')}"


RULES = (
    ResourceRule(
        name="tokens-by-need",
        description="Only pods that ask the Kubernetes API have a service account's token.",
        check=_tokens,
    ),
    ResourceRule(
        name="no-wildcards-in-roles",
        description="Roles name groups, resources and verbs: a wildcard grows with the cluster.",
        check=_no_wildcards,
    ),
    ResourceRule(
        name="no-secrets-in-roles",
        description="No role reads Secrets: they are mounted by name.",
        check=_no_secrets,
    ),
    ResourceRule(
        name="no-cluster-roles",
        description="A stack's rights end with its namespace; nothing is bound to cluster-admin.",
        check=_no_cluster_roles,
    ),
)
