"""Labels of everything in the cluster: Kubernetes's recommended ones."""

PART = "app.kubernetes.io/component"
"""The label that tells a stack's pods apart; network policies select by it."""

STACK = "ft-serving.dev/stack"
"""The annotation of a namespace that names its stack: names in it are fixed, so that two stacks in
one would take each other's resources over."""


def labels(part: str) -> dict[str, str]:
    """Return the labels of a part, such as "weights"."""
    return {
        "app.kubernetes.io/name": "ft-serving",
        "app.kubernetes.io/managed-by": "pulumi",
        PART: part,
    }
