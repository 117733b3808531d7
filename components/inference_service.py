"""The InferenceService that answers requests."""

import hashlib
from dataclasses import dataclass

import pulumi

from components.cluster import OWNED, labels
from components.kserve import (
    NAME,
    Predictor,
    render_annotations,
    render_labels,
    render_predictor,
)
from components.kserve_object import InferenceServiceObject
from components.pods import Document, PodIdentity
from components.transformer import Transformer, render_transformer
from stacks.config import StackConfig
from stacks.sections import Mode


@dataclass(frozen=True, kw_only=True)
class InferenceServiceArgs:
    """The release to serve, and the pods that serve it.

    Attributes:
        config: The release, and how it is served.
        identity: The pods'.
        image: The server's image, by digest.
        claim: The claim of the volume.
        transformer: The OpenAI API in front of the server; None where a stack does not serve it.
        after: The download of its weights, which must be done before it starts. The release's
            name, which the service reads, is known before.
    """

    config: StackConfig
    identity: PodIdentity
    image: pulumi.Input[str]
    claim: pulumi.Input[str]
    transformer: Transformer | None = None
    after: tuple[pulumi.Resource, ...] = ()


class InferenceService(pulumi.ComponentResource):
    """A KServe InferenceService.

    Pulumi does not wait for it: it would say that it is not ready, at the end of a timeout, and
    not why. The smoke test waits, and says why within seconds.

    Attributes:
        id: Namespace and name, by which Pulumi reads it.
        state: A hash that changes with every change of the service, and when it is made anew.
    """

    id: pulumi.Output[str]
    state: pulumi.Output[str]

    def __init__(
        self, name: str, args: InferenceServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:InferenceService", name, None, opts)
        config = args.config
        predictor = Predictor(
            config=config, account=args.identity.account, image=args.image, claim=args.claim
        )
        spec = render_spec(predictor, args.transformer)
        visibility = render_labels(config.serving)
        service = InferenceServiceObject(
            name,
            metadata={
                "name": NAME,
                "namespace": args.identity.namespace,
                "labels": {**labels("server"), **visibility},
                "annotations": {**OWNED, **render_annotations(config.serving.mode)},
            },
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=args.after,
                replace_on_changes=_replaced(config),
                delete_before_replace=True,
                custom_timeouts=pulumi.CustomTimeouts(delete=f"{config.timeouts.service}s"),
            ),
        )
        self.id = service.id
        # A preview of a first deployment, whose namespace is not there yet, knows no uid.
        uid = service.metadata.apply(lambda metadata: str(metadata.get("uid")))
        told = pulumi.Output.json_dumps([spec, visibility], sort_keys=True)
        self.state = pulumi.Output.all(told, uid).apply(
            lambda parts: hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        )
        self.register_outputs({"id": self.id, "state": self.state})


def render_spec(predictor: Predictor, transformer: Transformer | None) -> Document:
    """Return the InferenceService's spec."""
    spec = {"predictor": render_predictor(predictor)}
    if transformer is not None:
        spec["transformer"] = render_transformer(transformer, predictor.config, predictor.claim)
    return spec


def _replaced(config: StackConfig) -> list[str]:
    """Return the paths whose changes end the old service before the new one begins.

    KServe refuses to change the mode. Every change of a Knative service is a new revision that
    must run before the old one ends, and where no GPU is spare it never would.
    """
    paths = ["metadata.annotations"]
    if config.serving.mode is Mode.SERVERLESS and not config.scheduling.spare_gpu:
        paths.append("spec.predictor")
    return paths
