"""The program: from a stack's configuration to an endpoint that has given the right answer."""

import pulumi

from components.access import Access, AccessArgs
from components.cluster import provider
from components.image import Image, ImageArgs, ImageRegistry
from components.inference_service import InferenceService, InferenceServiceArgs
from components.model_download import ModelDownload, ModelDownloadArgs
from components.openai_api import OpenAIApi, OpenAIApiArgs
from components.release_collection import ReleaseCollection, ReleaseCollectionArgs
from components.smoke_test import SmokeTest, SmokeTestArgs, address, command, host, openai_address
from components.storage import ModelStorage, ModelStorageArgs
from operations.preflight.program import preflight
from stacks.load import load_stack

stack = load_stack()
preflight(stack)
config, images = stack.config, stack.config.image
registry = ImageRegistry(settings=images, password=stack.registry_password)
cluster = pulumi.ResourceOptions(providers=[provider(config)])

weights_args = ImageArgs(folder="weights", source=images.weights, registry=registry)
weights = Image("weights", weights_args)
server_args = ImageArgs(folder=config.engine.image, source=images.server, registry=registry)
server = Image("server", server_args)
client_args = ImageArgs(folder="client", source=images.client, registry=registry)
client = Image("client", client_args)

access_args = AccessArgs(
    stack=stack.name, config=config, registry=registry, hub_token=stack.hub_token
)
access = Access("access", access_args, cluster)
storage_args = ModelStorageArgs(namespace=access.namespace, settings=config.storage)
storage = ModelStorage("storage", storage_args, cluster)

download_args = ModelDownloadArgs(
    config=config,
    identity=access.weights,
    image=weights.reference,
    claim=storage.claim,
    gate_identity=access.gate,
    gate_image=client.reference,
)
download = ModelDownload("model-download", download_args, cluster)

api_args = OpenAIApiArgs(config=config, registry=registry, identity=access.openai)
api = OpenAIApi("openai", api_args, cluster)

service_args = InferenceServiceArgs(
    config=config,
    identity=access.server,
    image=server.reference,
    claim=storage.claim,
    transformer=api.transformer,
    after=(download,),
)
service = InferenceService("inference-service", service_args, cluster)

test_args = SmokeTestArgs(
    config=config,
    identity=access.gate,
    image=client.reference,
    service=service.id,
    state=service.state,
)
test = SmokeTest("smoke-test", test_args, cluster)

collection_args = ReleaseCollectionArgs(download=download_args, after=(test,))
ReleaseCollection("release-collection", collection_args, cluster)

pulumi.export("url", test.url.apply(lambda url: address(url, config)))
pulumi.export("host", test.url.apply(host))
pulumi.export("release", config.release.name)
pulumi.export("serverImage", server.reference)
pulumi.export("weightsImage", weights.reference)
pulumi.export("clientImage", client.reference)
pulumi.export("openaiImage", api.image)
pulumi.export("openai", test.url.apply(lambda url: openai_address(url, config)))
pulumi.export("call", test.url.apply(lambda url: command(url, config)))
