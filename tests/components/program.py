"""The components and the program, run under the recorder."""

import json
import os
import runpy
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from unittest import mock

import pulumi

from components.access import Access, AccessArgs
from components.image import Image, ImageArgs, ImageRegistry
from components.inference_service import InferenceService, InferenceServiceArgs
from components.model_download import ModelDownload, ModelDownloadArgs
from components.openai_api import OpenAIApi, OpenAIApiArgs
from components.pods import PodIdentity
from components.release_collection import ReleaseCollection, ReleaseCollectionArgs
from components.smoke_test import SmokeTest, SmokeTestArgs
from components.storage import ModelStorage, ModelStorageArgs
from components.transformer import Transformer
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


def transformer(stack: StackConfig) -> Transformer | None:
    if not stack.serving.openai:
        return None
    template = None if stack.serving.chat_template is None else "template"
    return Transformer(account="someone-else", image=IMAGE, chat_template=template)


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
        name,
        InferenceServiceArgs(
            config=stack,
            identity=IDENTITY,
            image=IMAGE,
            claim="claim",
            transformer=transformer(stack),
        ),
    ),
    "ModelDownload": lambda name, stack: ModelDownload(name, download_args(stack)),
    "ModelStorage": lambda name, stack: ModelStorage(
        name, ModelStorageArgs(namespace="models", settings=stack.storage)
    ),
    "OpenAIApi": lambda name, stack: OpenAIApi(
        name,
        OpenAIApiArgs(
            config=stack, registry=ImageRegistry(settings=stack.image), identity=IDENTITY
        ),
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
    """Return what one component makes."""
    return record(lambda: COMPONENTS[component]("it", stack))


def program(stack: str, changes: Mapping[str, Any] | None = None) -> Recording:
    """Return what the whole program makes of a stack that comes with the project.

    Args:
        stack: Its name.
        changes: Sections to replace.
    """
    return _program(stack, json.dumps({**shipped(stack), **(changes or {})}))


@cache
def _program(stack: str, sections: str) -> Recording:
    settings = {f"ft-serving:{key}": json.dumps(it) for key, it in json.loads(sections).items()}
    with mock.patch.dict(os.environ):
        # A provider takes the shell's cluster where the program names none.
        os.environ.pop("KUBECONFIG", None)
        return record(
            lambda: runpy.run_path(str(ROOT / "__main__.py")), stack=stack, config=settings
        )
