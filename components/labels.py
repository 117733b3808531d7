"""Labels and annotations of everything in the cluster."""

PART = "app.kubernetes.io/component"
"""The label that tells a stack's pods apart; network policies select by it."""

STACK = "ft-serving.dev/stack"
"""The annotation of a namespace that names its stack: names in it are fixed, so that two stacks in
one would take each other's resources over."""

OWNED = {"pulumi.com/patchForce": "true"}
"""An annotation of every object: the next `up` sets a field again that somebody else has set, or an
`up` that was killed. The provider's `enablePatchForce` does the same, but only newer releases of
Pulumi's kubernetes plugin know it."""


def labels(part: str) -> dict[str, str]:
    """Return the labels of a part, such as "weights": those that Kubernetes recommends."""
    return {
        "app.kubernetes.io/name": "ft-serving",
        "app.kubernetes.io/managed-by": "pulumi",
        PART: part,
    }
