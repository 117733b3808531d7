"""The components and the program, run under the recorder."""

import json
import runpy
from collections.abc import Callable, Mapping
from typing import Any

import pulumi

from components.access import Access, AccessArgs
from components.image import Image, ImageArgs, ImageRegistry
from components.inference_service import InferenceService, InferenceServiceArgs
from components.jobs import PodIdentity
from components.model_download import ModelDownload, ModelDownloadArgs
from components.release_collection import ReleaseCollection, ReleaseCollectionArgs
from components.smoke_test import SmokeTest, SmokeTestArgs
from components.storage import ModelStorage, ModelStorageArgs
from operations.recording.recorder import DIGEST, Recording, record
from stacks.config import StackConfig
from stacks.sections import ImageSource
from tests.stacks.documents import CPU, GPU, ROOT, config, shipped

IMAGE = f"registry.example.com/image@{DIGEST}"
IDENTITY = PodIdentity(namespace="models", account="someone")
CPU_STACK = config(CPU)
GPU_STACK = config(GPU)
SECRET = "the-password-of-a-user"


def download_args(stack: StackConfig) -> ModelDownloadArgs:
    return ModelDownloadArgs(
        config=stack,
        identity=IDENTITY,
        image=IMAGE,
        claim="claim",
        gate_identity=IDENTITY,
        gate_image=IMAGE,
    )


Make = Callable[[str, StackConfig], pulumi.ComponentResource]

COMPONENTS: Mapping[str, Make] = {
    "Access": lambda name, stack: Access(
        name,
        AccessArgs(
            stack="test",
            config=stack,
            registry=ImageRegistry(settings=stack.image, password=pulumi.Output.secret(SECRET)),
            hub_token=pulumi.Output.secret(SECRET),
        ),
    ),
    "Image": lambda name, stack: Image(
        name,
        ImageArgs(
            folder="weights",
            source=ImageSource(),
            registry=ImageRegistry(settings=stack.image, password=pulumi.Output.secret(SECRET)),
        ),
    ),
    "InferenceService": lambda name, stack: InferenceService(
        name, InferenceServiceArgs(config=stack, identity=IDENTITY, image=IMAGE, claim="claim")
    ),
    "ModelDownload": lambda name, stack: ModelDownload(name, download_args(stack)),
    "ModelStorage": lambda name, stack: ModelStorage(
        name, ModelStorageArgs(namespace="models", settings=stack.storage)
    ),
    "ReleaseCollection": lambda name, stack: ReleaseCollection(
        name, ReleaseCollectionArgs(download=download_args(stack))
    ),
    "SmokeTest": lambda name, stack: SmokeTest(
        name,
        SmokeTestArgs(
            config=stack, identity=IDENTITY, image=IMAGE, service="models/it", state="abc123"
        ),
    ),
}
"""Every component, each by itself."""


def made(component: str, stack: StackConfig = CPU_STACK) -> Recording:
    """What one component makes."""
    return record(lambda: COMPONENTS[component]("it", stack))


def program(stack: str, changes: Mapping[str, Any] | None = None) -> Recording:
    """What the whole program makes of a stack that comes with the project.

    Args:
        stack: Its name.
        changes: Sections to replace.
    """
    sections = {**shipped(stack), **(changes or {})}
    return record(
        lambda: runpy.run_path(str(ROOT / "__main__.py")),
        stack=stack,
        config={f"ft-serving:{name}": json.dumps(value) for name, value in sections.items()},
    )
