"""The add-ons in the cluster: DNS, ingress, Knative Serving, KServe, and images for them."""

from local_platform.addons.debian import base_image
from local_platform.addons.install import install, status
from local_platform.addons.wheels import wheels_image

__all__ = ["base_image", "install", "status", "wheels_image"]
