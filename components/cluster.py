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
        upsert_existing_objects=True,
        # A field that was changed by hand has another owner: `up` takes it back.
        enable_patch_force=True,
    )
