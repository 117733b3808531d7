"""The cluster that a stack's resources go to, and their labels and annotations."""

from typing import Any

import pulumi
import pulumi_kubernetes as k8s

from stacks.config import StackConfig

PART = "app.kubernetes.io/component"
"""The label that tells a stack's pods apart; network policies select by it."""

STACK = "ft-serving.dev/stack"
"""The annotation of a namespace that names its stack: names in it are fixed, so that two stacks in
one would take each other's resources over."""

OWNED = {"pulumi.com/patchForce": "true"}
"""An annotation of every object: the next `up` sets a field again that somebody else has set, or an
`up` that was killed. The provider's `enablePatchForce` does the same, but only newer releases of
Pulumi's kubernetes plugin know it."""

NOT_AWAITED = {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
"""An annotation of what a gate waits for instead of Pulumi: the object is ready once it exists. Its
deletion is waited for, as `skipAwait` would not have it, before another of its name is made."""


def name_of(resource: pulumi.CustomResource) -> pulumi.Output[str]:
    """Return the name that an object has in the cluster."""
    metadata: pulumi.Output[Any] = getattr(resource, "metadata")  # noqa: B009 - each kind has its own type
    return metadata.apply(lambda it: str(it.name))


def provider(config: StackConfig) -> k8s.Provider:
    """Return Pulumi's provider for the cluster of a stack's configuration."""
    return k8s.Provider(
        "kubernetes",
        kubeconfig=config.cluster.kubeconfig,
        context=config.cluster.context,
        # Weights that a destroyed stack left, and what an interrupted `up` made, are taken over.
        # Releases of the plugin that do not know this setting always do it.
        upsert_existing_objects=True,
    )


def labels(part: str) -> dict[str, str]:
    """Return the labels of a part, such as "weights": those that Kubernetes recommends."""
    return {
        "app.kubernetes.io/name": "ft-serving",
        "app.kubernetes.io/managed-by": "pulumi",
        PART: part,
    }
