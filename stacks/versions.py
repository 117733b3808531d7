"""Pins of the program that stand nowhere else.

Python packages are pinned in `requirements/*.lock`, base images in `images/*/Dockerfile`, the
parts of the embedded platform in `local_platform/toolchain/modules/*/go.mod`.
"""

INFERENCE_SERVICE_API = "serving.kserve.io/v1beta1"
INFERENCE_SERVICE_KIND = "InferenceService"

DEPLOYMENT_MODE_ANNOTATION = "serving.kserve.io/deploymentMode"
"""KServe's; values are "Serverless", which it also calls "Knative", and "Standard"."""
