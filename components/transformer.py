"""KServe's transformer: the pods that answer the OpenAI API in front of the predictor."""

import shlex
from dataclasses import dataclass

import pulumi

from components.cluster import labels
from components.kserve import CONTAINER, NAME, component, lifecycle, probes
from components.pods import TMP, Document, node_affinity, restricted
from components.storage import MOUNT, RELEASES
from ft_serving.core.manifest import WEIGHTS_PATH
from stacks.config import StackConfig
from stacks.resolved import OPENAI_LIMITS, openai_reserved_cpu
from stacks.sections import Mode

PART = "openai"
"""The pods' part of the stack, for labels; the InferenceService's own are its predictor's."""

TEMPLATE_KEY = "chat-template.jinja"
"""The key of the ConfigMap with the chat template, and so its file's name."""

_PORT = 8080
_TEMPLATE_MOUNT = "/etc/ft-serving"


@dataclass(frozen=True, kw_only=True)
class Transformer:
    """The OpenAI API in front of a served release.

    Attributes:
        account: The service account of the pods.
        image: The image of the API's server, by digest.
        chat_template: The name of the ConfigMap with the chat template; None where there is none.
    """

    account: pulumi.Input[str]
    image: pulumi.Input[str]
    chat_template: pulumi.Input[str] | None = None


def render_transformer(
    transformer: Transformer, config: StackConfig, claim: pulumi.Input[str]
) -> Document:
    """Return the specification of the API's pods, which scale as the server's do.

    Args:
        transformer: Image, identity and chat template.
        config: The release, and how it is served.
        claim: The claim of the volume with the release, whose tokenizer the API reads.
    """
    volumes: list[Document] = [
        {"name": "models", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
        {"name": "tmp", "emptyDir": {}},
    ]
    mounts: list[Document] = [{"name": "models", "mountPath": MOUNT, "readOnly": True}, TMP]
    if transformer.chat_template is not None:
        volumes.append({"name": "chat-template", "configMap": {"name": transformer.chat_template}})
        mounts.append({"name": "chat-template", "mountPath": _TEMPLATE_MOUNT, "readOnly": True})
    affinity = node_affinity(config.region_requirements)
    health = {"httpGet": {"path": "/health", "port": _PORT}}
    limits = {"cpu": OPENAI_LIMITS.cpu, "memory": OPENAI_LIMITS.memory}
    reserved = {**limits, "cpu": openai_reserved_cpu(config.server_resources)}
    return {
        "labels": labels(PART),
        **component(config, transformer.account),
        **_mode(config.serving.mode),
        "containers": [
            {
                "name": CONTAINER,
                "image": transformer.image,
                "command": _command(config),
                "ports": [{"name": "http1", "containerPort": _PORT, "protocol": "TCP"}],
                "resources": {"requests": reserved, "limits": limits},
                "volumeMounts": mounts,
                **restricted(),
                **probes(config, startup=health, readiness=health, liveness=health),
                **lifecycle(config.serving.mode),
            }
        ],
        "volumes": volumes,
        **({"affinity": affinity} if affinity else {}),
    }


def _mode(mode: Mode) -> Document:
    """Return that a replica takes every request: the server's own limit holds behind it.

    Knative's refusals of requests beyond a limit have no Retry-After, and the API's have.
    """
    return {"containerConcurrency": 0} if mode is Mode.SERVERLESS else {}


def _command(config: StackConfig) -> list[str]:
    """Return the command of the API's server.

    KServe adds arguments of its own contract, such as --predictor_host and --workers
    (kserve/kserve, pkg/apis/serving/v1beta1/transformer_custom.go): behind a script they are the
    shell's, which does not read them.
    """
    serving, timeouts = config.serving, config.timeouts
    words = [
        *("exec", "ft-serving", "openai", "--host=0.0.0.0", f"--port={_PORT}"),
        f"--url=http://{NAME}-predictor.{config.cluster.namespace}",
        f"--model={config.model.repository}",
        f"--tokenizer={RELEASES}/{config.release.name}/{WEIGHTS_PATH}",
        # Knative ends a request that waits longer, and says nothing of when to ask again.
        f"--wait={timeouts.loading}",
        f"--timeout={timeouts.request}",
    ]
    if serving.chat_template is not None:
        words.append(f"--chat-template={_TEMPLATE_MOUNT}/{TEMPLATE_KEY}")
    return ["sh", "-c", shlex.join(words)]
