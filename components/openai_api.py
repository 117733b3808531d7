"""The OpenAI API's image and chat template, which its pods need beside the InferenceService."""

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import OWNED, labels, name_of
from components.image import ImageArgs, ImageRegistry, image_reference
from components.pods import Document, PodIdentity
from components.transformer import PART, TEMPLATE_KEY, Transformer
from stacks.config import StackConfig


@dataclass(frozen=True, kw_only=True)
class OpenAIApiArgs:
    """The API's server.

    Attributes:
        config: Whether there is one, and its chat template.
        registry: The registry of its image.
        identity: The pods'; None where there is no API.
    """

    config: StackConfig
    registry: ImageRegistry
    identity: PodIdentity | None


class OpenAIApi(pulumi.ComponentResource):
    """The image and the chat template of the OpenAI API; nothing where a stack does not serve it.

    Attributes:
        image: The image, `repository@sha256:…`; None where there is no API.
        transformer: The pods for the InferenceService; None likewise.
    """

    image: pulumi.Output[str] | None
    transformer: Transformer | None

    def __init__(
        self, name: str, args: OpenAIApiArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:OpenAIApi", name, None, opts)
        self.image = self.transformer = None
        if args.identity is not None:
            source = args.config.image.openai
            image = ImageArgs(folder="openai", source=source, registry=args.registry)
            self.image = image_reference(name, image, parent=self)
            self.transformer = Transformer(
                account=args.identity.account,
                image=self.image,
                chat_template=self._chat_template(name, args.config, args.identity),
            )
        self.register_outputs(
            {
                "image": self.image,
                "transformer": None if self.transformer is None else vars(self.transformer),
            }
        )

    def _chat_template(
        self, name: str, config: StackConfig, identity: PodIdentity
    ) -> pulumi.Output[str] | None:
        template = config.serving.chat_template
        if template is None:
            return None
        # Without a fixed name: another template is another ConfigMap beside the old one, which the
        # pods of the old revision still mount.
        inputs: Document = {
            "metadata": {
                "namespace": identity.namespace,
                "labels": labels(PART),
                "annotations": OWNED,
            },
            "data": {TEMPLATE_KEY: template},
            "immutable": True,
        }
        made = k8s.core.v1.ConfigMap(
            f"{name}-chat-template", opts=pulumi.ResourceOptions(parent=self), **inputs
        )
        return name_of(made)
