"""The namespace of a stack, its accounts, and what each of them may do."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import OWNED, STACK, labels, name_of
from components.image import ImageRegistry
from components.network import gate_policy, openai_policy, server_policy, weights_policy
from components.pods import Document, PodIdentity
from components.transformer import PART as OPENAI
from stacks.config import StackConfig

READABLE = {
    "": ["events", "persistentvolumeclaims", "pods", "pods/log"],
    "apps": ["deployments", "replicasets"],
    "batch": ["jobs"],
    "serving.knative.dev": ["revisions", "services"],
    "serving.kserve.io": ["inferenceservices"],
}
"""The kinds that the gates read to tell why a deployment fails, by API group."""


_Object = TypeVar("_Object", bound=pulumi.CustomResource)


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """Names, credentials and neighbours.

    Attributes:
        stack: The stack's name.
        config: The namespace, the hub, and the namespaces that requests come from. Network policies
            see a pod's port and not its Service's: a hub in the cluster must have both alike.
        registry: The registry that images are pulled from.
        hub_token: The token of a gated model; None where none is needed.
    """

    stack: str
    config: StackConfig
    registry: ImageRegistry
    hub_token: pulumi.Input[str] | None


class Access(pulumi.ComponentResource):
    """A namespace whose pods are restricted, and a service account for each part.

    Attributes:
        namespace: The namespace's name.
        weights: The model download's identity.
        server: The server's.
        openai: That of the OpenAI API; None where a stack does not serve it.
        gate: That of the Jobs that wait for the download and test the service; it may read the
            namespace.
    """

    namespace: pulumi.Output[str]
    weights: PodIdentity
    server: PodIdentity
    openai: PodIdentity | None
    gate: PodIdentity

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:Access", name, None, opts)
        self._name = name
        config = args.config
        inputs: Document = {
            "metadata": {
                "name": config.cluster.namespace,
                "labels": {**labels("access"), "pod-security.kubernetes.io/enforce": "restricted"},
                "annotations": {**OWNED, STACK: args.stack},
            }
        }
        # It goes with the weights in it, or stays with them.
        keep = not config.storage.delete_weights_on_destroy
        namespace_opts = pulumi.ResourceOptions(parent=self, retain_on_delete=keep)
        namespace = k8s.core.v1.Namespace(name, opts=namespace_opts, **inputs)
        self.namespace = name_of(namespace)
        pull_secrets = self._pull_secrets(args.registry)
        hub_secret = (
            None
            if args.hub_token is None
            else self._secret("hub", "Opaque", {"token": args.hub_token})
        )
        self.weights = self._identity("weights", pull_secrets, hub_secret)
        self.server = self._identity("server", pull_secrets, None)
        self.openai = None
        if config.serving.openai:
            self.openai = self._identity(OPENAI, pull_secrets, None)
            self._policy(OPENAI, openai_policy(config.cluster.ingress_namespaces))
        self.gate = self._reader(self._identity("gate", pull_secrets, hub_secret))
        self._policy("server", server_policy(config.cluster.ingress_namespaces))
        self._policy("weights", weights_policy(config.hub.endpoint))
        self._policy("gate", gate_policy(config.hub.endpoint, config.cluster.ingress_namespaces))
        self.register_outputs(
            {
                "namespace": self.namespace,
                "weights": vars(self.weights),
                "server": vars(self.server),
                "openai": {} if self.openai is None else vars(self.openai),
                "gate": vars(self.gate),
            }
        )

    def _identity(
        self,
        part: str,
        pull_secrets: list[pulumi.Output[str]],
        hub_secret: pulumi.Output[str] | None,
    ) -> PodIdentity:
        account = self._make(
            k8s.core.v1.ServiceAccount,
            part,
            f"ft-serving-{part}",
            automount_service_account_token=False,
            image_pull_secrets=[{"name": secret} for secret in pull_secrets],
        )
        return PodIdentity(
            namespace=self.namespace, account=name_of(account), hub_secret=hub_secret
        )

    def _reader(self, reader: PodIdentity) -> PodIdentity:
        """Let an account read the namespace; its name is known once it may."""
        reading: list[Document] = [
            {"apiGroups": [group], "resources": kinds, "verbs": ["get", "list", "watch"]}
            for group, kinds in READABLE.items()
        ]
        # Knative tries no failed revision again, and makes anew the newest one, if deleted.
        group, kinds = ["serving.knative.dev"], ["revisions"]
        renewing = {"apiGroups": group, "resources": kinds, "verbs": ["delete"]}
        role = self._make(k8s.rbac.v1.Role, "gate", "ft-serving-gate", rules=[*reading, renewing])
        group_of_roles = "rbac.authorization.k8s.io"
        account = {"kind": "ServiceAccount", "name": reader.account, "namespace": reader.namespace}
        binding = self._make(
            k8s.rbac.v1.RoleBinding,
            "gate",
            "ft-serving-gate",
            role_ref={"apiGroup": group_of_roles, "kind": "Role", "name": name_of(role)},
            subjects=[account],
        )
        known = pulumi.Output.all(reader.account, binding.id)
        return replace(reader, account=known.apply(lambda it: str(it[0])))

    def _pull_secrets(self, registry: ImageRegistry) -> list[pulumi.Output[str]]:
        settings = registry.settings
        if settings.username is None:
            return []
        content = pulumi.Output.all(settings.username, registry.password).apply(
            lambda login: docker_config(settings.registry, *login)
        )
        kind = "kubernetes.io/dockerconfigjson"
        return [self._secret("registry", kind, {".dockerconfigjson": content})]

    def _secret(
        self, part: str, kind: str, content: dict[str, pulumi.Input[str]]
    ) -> pulumi.Output[str]:
        # Without a fixed name: new credentials are a new Secret beside the old one, and the pods
        # that use it follow.
        secret = self._make(
            k8s.core.v1.Secret,
            part,
            None,
            label="access",
            type=kind,
            string_data={key: pulumi.Output.secret(value) for key, value in content.items()},
        )
        return name_of(secret)

    def _policy(self, part: str, spec: Document) -> None:
        self._make(k8s.networking.v1.NetworkPolicy, part, f"ft-serving-{part}", spec=spec)

    def _make(
        self,
        kind: Callable[..., _Object],
        part: str,
        name: str | None,
        *,
        label: str | None = None,
        **inputs: object,
    ) -> _Object:
        """Make an object of the namespace, whose label is its part's if none is given."""
        metadata = {
            **({} if name is None else {"name": name}),
            "namespace": self.namespace,
            "labels": labels(label or part),
            "annotations": OWNED,
        }
        opts = pulumi.ResourceOptions(parent=self)
        return kind(f"{self._name}-{part}", metadata=metadata, opts=opts, **inputs)


def docker_config(server: str, username: str, password: str) -> str:
    """Return the text of a Docker configuration file with one login."""
    both = base64.b64encode(f"{username}:{password}".encode()).decode()
    entry = {"username": username, "password": password, "auth": both}
    return json.dumps({"auths": {server: entry}})
