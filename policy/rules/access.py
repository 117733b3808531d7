"""Rules about rights in the Kubernetes API, about namespaces, and about claims."""

from collections.abc import Iterator

from policy.pods import pods
from policy.resource import (
    UNKNOWN,
    StackResource,
    items_of,
    mapping_at,
    mappings_of,
    resource_rule,
)

ACCOUNTS_WITH_TOKENS = frozenset({"ft-serving-gate"})
"""Service accounts whose pods ask the Kubernetes API: the gates read why a deployment fails."""

_RBAC = "rbac.authorization.k8s.io"
_ENFORCE = "pod-security.kubernetes.io/enforce"


@resource_rule(
    "tokens-by-need",
    "Only pods that ask the Kubernetes API have a service account's token.",
)
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


@resource_rule(
    "no-wildcards-in-roles",
    "Roles name groups, resources and verbs: a wildcard grows with the cluster.",
)
def _no_wildcards(resource: StackResource) -> Iterator[str]:
    if resource.in_group(_RBAC):
        for index, rule in mappings_of(resource.properties.get("rules")):
            for field, values in rule.items():
                if any("*" in str(value) for value in items_of(values)):
                    yield f"rules[{index}].{field}: must name what is meant; got {list(values)}"


@resource_rule("no-secrets-in-roles", "No role reads Secrets: they are mounted by name.")
def _no_secrets(resource: StackResource) -> Iterator[str]:
    if resource.in_group(_RBAC):
        for index, rule in mappings_of(resource.properties.get("rules")):
            if "secrets" in items_of(rule.get("resources")):
                yield f"rules[{index}].resources: must not have secrets; mount them by name"


@resource_rule(
    "no-cluster-roles",
    "A stack's rights end with its namespace; nothing is bound to cluster-admin.",
)
def _no_cluster_roles(resource: StackResource) -> Iterator[str]:
    if not resource.in_group(_RBAC):
        return
    if resource.kind.startswith("ClusterRole"):
        yield f"kind: must be {resource.kind.removeprefix('Cluster')}, in the stack's namespace"
    role = mapping_at(resource.properties, "roleRef")
    if resource.kind == "RoleBinding" and role.get("kind") == "ClusterRole":
        yield f"roleRef: must be a Role of the stack's own; got ClusterRole {role.get('name')}"


@resource_rule(
    "restricted-namespaces", "Namespaces refuse pods below Pod Security's level `restricted`."
)
def _restricted(resource: StackResource) -> Iterator[str]:
    if resource.type == "kubernetes:core/v1:Namespace":
        given = mapping_at(resource.properties, "metadata", "labels").get(_ENFORCE)
        if given != "restricted":
            yield f"metadata.labels.{_ENFORCE}: must be restricted; got {given}"


@resource_rule("kept-claims", "Claims outlive a mistaken `pulumi destroy`.")
def _kept_claims(resource: StackResource) -> Iterator[str]:
    if resource.kind == "PersistentVolumeClaim" and not (resource.protected or resource.retained):
        yield "must be protected or retained: deleting it deletes the weights"


RULES = (_tokens, _no_wildcards, _no_secrets, _no_cluster_roles, _restricted, _kept_claims)
