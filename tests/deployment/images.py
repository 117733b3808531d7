"""The images of a stack that is up, for stacks that need not build them again."""

from typing import Any

from tests.deployment.program import Deployment


def existing_images(deployment: Deployment) -> dict[str, Any]:
    """Settings that name the images of a stack that is up."""
    outputs = deployment.outputs()
    return {
        f"image.{name}": {"existing": outputs[f"{name}Image"]}
        for name in ("server", "weights", "client")
    }
