"""Images that never change under their name, and the volume that outlives a stack."""

import json
from typing import Any

from google.protobuf import json_format

from components.build_context import content_tag
from components.image import CONTEXT, Image, ImageArgs, ImageRegistry
from operations.recording.recorder import Registered, record
from stacks.sections import ImageSource
from tests.components.program import IMAGE, SECRET, made
from tests.components.test_access import MARK
from tests.stacks.documents import CPU, config


def built(changes: dict[str, Any] | None = None, *secrets: str) -> Registered:
    return made("Image", config(CPU, changes, *secrets)).one("docker:index/image:Image")


def claim(changes: dict[str, Any] | None = None) -> Registered:
    return made("ModelStorage", config(CPU, changes)).one(":PersistentVolumeClaim")


def test_a_built_image_has_the_tag_of_its_contents() -> None:
    dockerfile = CONTEXT / "images" / "weights" / "Dockerfile"
    tag = content_tag(CONTEXT, dockerfile, {}, "linux/amd64")
    inputs = built().inputs
    assert inputs["imageName"] == f"localhost:5000/ft-serving/weights:{tag}"
    assert inputs["build"]["context"] == ".", "an absolute path differs from machine to machine"
    assert inputs["build"]["platform"] == "linux/amd64"


def test_an_image_that_exists_is_not_built() -> None:
    source = ImageSource(existing=IMAGE)
    registry = ImageRegistry(settings=config(CPU).image)
    args = ImageArgs(folder="weights", source=source, registry=registry)
    recording = record(lambda: Image("it", args))
    assert not recording.of("docker:index/image:Image")
    assert recording.outputs["it"] == {"reference": IMAGE}


def test_a_private_registrys_password_is_sent_as_a_secret() -> None:
    image = built({"image.username": "someone"}, "registryPassword")
    registry = json_format.MessageToDict(image.request.object)["registry"]
    assert MARK in json.dumps(registry)
    assert image.inputs["registry"]["username"] == "someone"
    assert SECRET not in str(built().request)


def test_the_weights_are_protected_and_kept_unless_told_otherwise() -> None:
    kept = claim().request
    assert kept.protect
    assert kept.retainOnDelete
    gone = claim({"storage.protect": False, "storage.deleteWeightsOnDestroy": True}).request
    assert not gone.protect
    assert not gone.retainOnDelete
