"""The cluster that a stack's resources go to."""

import pulumi_kubernetes as k8s

from stacks.config import StackConfig


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
