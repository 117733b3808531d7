"""The program: from a stack's configuration to an endpoint that has given the right answer."""

from functools import partial

import pulumi

from components.access import Access, AccessArgs
from components.cluster import provider
from components.image import Image, ImageArgs, Registry
from components.inference_service import InferenceService, InferenceServiceArgs
from components.model_download import ModelDownload, ModelDownloadArgs
from components.release_collection import ReleaseCollection, ReleaseCollectionArgs
from components.smoke_test import SmokeTest, SmokeTestArgs, address, command, host
from components.storage import ModelStorage, ModelStorageArgs
from operations.preflight.program import preflight
from stacks.load import load_stack

stack = load_stack()
preflight(stack)
config, images = stack.config, stack.config.image
registry = Registry(settings=images, password=stack.registry_password)
cluster = pulumi.ResourceOptions(providers=[provider(config)])

image_args = partial(ImageArgs, registry=registry)
weights = Image("weights", image_args(folder="weights", source=images.weights))
server = Image("server", image_args(folder=config.server_folder, source=images.server))
client = Image("client", image_args(folder="client", source=images.client))

access_args = partial(AccessArgs, stack=stack.name, config=config, registry=registry)
access = Access("access", access_args(hub_token=stack.hub_token), cluster)
storage_args = ModelStorageArgs(namespace=access.namespace, settings=config.storage)
storage = ModelStorage("storage", storage_args, cluster)

gated = partial(ModelDownloadArgs, gate_identity=access.gate, gate_image=client.reference)
on_volume = partial(gated, config=config, identity=access.weights, claim=storage.claim)
download_args = on_volume(image=weights.reference)
download = ModelDownload("model-download", download_args, cluster)

service_args = partial(InferenceServiceArgs, config=config, identity=access.server)
service = InferenceService(
    "inference-service",
    service_args(image=server.reference, claim=storage.claim, after=(download,)),
    cluster,
)

test_args = partial(SmokeTestArgs, config=config, identity=access.gate, image=client.reference)
test = SmokeTest("smoke-test", test_args(service=service.id, state=service.state), cluster)

collection_args = ReleaseCollectionArgs(download=download_args, after=(test,))
ReleaseCollection("release-collection", collection_args, cluster)

pulumi.export("url", test.url.apply(lambda url: address(url, config)))
pulumi.export("host", test.url.apply(host))
pulumi.export("release", config.release.name)
pulumi.export("serverImage", server.reference)
pulumi.export("weightsImage", weights.reference)
pulumi.export("clientImage", client.reference)
pulumi.export("call", test.url.apply(lambda url: command(url, config)))
