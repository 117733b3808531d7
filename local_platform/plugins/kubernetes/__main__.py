"""The program behind `pulumi-resource-kubernetes`."""

from local_platform.plugins.kubernetes.provider import KubernetesPlugin
from local_platform.plugins.server import serve

serve(KubernetesPlugin)
