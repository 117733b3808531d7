"""`python -m local_platform.plugins.docker ENGINE`: the plugin as Pulumi's engine starts it."""

from local_platform.plugins.docker.provider import DockerPlugin
from local_platform.plugins.server import serve

serve(DockerPlugin)
