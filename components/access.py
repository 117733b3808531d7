"""The namespace of a stack, and what may be done in it by whom."""

import base64
import json
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import OWNED, STACK, labels
from components.image import ImageRegistry
from components.jobs import PodIdentity
from components.network import gate_policy, server_policy, weights_policy
from stacks.config import StackConfig

READABLE = {
    "": ["events", "persistentvolumeclaims", "pods", "pods/log"],
    "apps": ["deployments", "replicasets"],
    "batch": ["jobs"],
    "serving.knative.dev": ["revisions", "services"],
    "serving.kserve.io": ["inferenceservices"],
}
"""What the gates read to tell why a deployment does not come about, by API group."""


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """Names, credentials and neighbours.

    Attributes:
        stack: The stack's name.
        config: The namespace, the hub, and the namespaces that requests come from. A hub in the
            cluster has pods that listen on the port of its Service: network policies see theirs.
        registry: Where images are pulled from.
        hub_token: The token of a gated model; None where none is needed.
    """

    stack: str
    config: StackConfig
    registry: ImageRegistry
    hub_token: pulumi.Input[str] | None


class Access(pulumi.ComponentResource):
    """A namespace whose pods are restricted, and one service account a part.

    Attributes:
        namespace: The namespace's name.
        weights: Who the model download is.
        server: Who the server is.
        gate: Who waits for the download and tests the service, and may read the namespace.
    """

    namespace: pulumi.Output[str]
    weights: PodIdentity
    server: PodIdentity
    gate: PodIdentity

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:Access", name, None, opts)
        self._name = name
        config = args.config
        namespace = k8s.core.v1.Namespace(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=config.cluster.namespace,
                labels={
                    **labels("access"),
                    "pod-security.kubernetes.io/enforce": "restricted",
                },
                annotations={**OWNED, STACK: args.stack},
            ),
            # It goes with the weights in it, and stays with them.
            opts=pulumi.ResourceOptions(
                parent=self, retain_on_delete=not config.storage.delete_weights_on_destroy
            ),
        )
        self.namespace = namespace.metadata.apply(lambda metadata: str(metadata.name))
        pull_secrets = self._pull_secrets(args.registry)
        hub_secret = (
            None
            if args.hub_token is None
            else self._secret("hub", "Opaque", {"token": args.hub_token})
        )
        self.weights = self._identity("weights", pull_secrets, hub_secret)
        self.server = self._identity("server", pull_secrets, None)
        self.gate = self._reader(self._identity("gate", pull_secrets, hub_secret))
        self._policy("server", server_policy(config.cluster.ingress_namespaces))
        self._policy("weights", weights_policy(config.hub.endpoint))
        self._policy("gate", gate_policy(config.hub.endpoint, config.cluster.ingress_namespaces))
        self.register_outputs(
            {
                "namespace": self.namespace,
                "weights": vars(self.weights),
                "server": vars(self.server),
                "gate": vars(self.gate),
            }
        )

    def _identity(
        self,
        part: str,
        pull_secrets: list[pulumi.Output[str]],
        hub_secret: pulumi.Output[str] | None,
    ) -> PodIdentity:
        account = k8s.core.v1.ServiceAccount(
            f"{self._name}-{part}",
            metadata=self._metadata(part, f"ft-serving-{part}"),
            automount_service_account_token=False,
            image_pull_secrets=[
                k8s.core.v1.LocalObjectReferenceArgs(name=secret) for secret in pull_secrets
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return PodIdentity(
            namespace=self.namespace,
            account=account.metadata.apply(lambda metadata: str(metadata.name)),
            hub_secret=hub_secret,
        )

    def _reader(self, reader: PodIdentity) -> PodIdentity:
        """Let an account read the namespace; it is known once it may."""
        role = k8s.rbac.v1.Role(
            f"{self._name}-gate",
            metadata=self._metadata("gate", "ft-serving-gate"),
            rules=[
                *(
                    k8s.rbac.v1.PolicyRuleArgs(
                        api_groups=[group], resources=kinds, verbs=["get", "list", "watch"]
                    )
                    for group, kinds in READABLE.items()
                ),
                # Knative tries no failed revision again, and makes anew the newest one, if deleted.
                k8s.rbac.v1.PolicyRuleArgs(
                    api_groups=["serving.knative.dev"], resources=["revisions"], verbs=["delete"]
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        binding = k8s.rbac.v1.RoleBinding(
            f"{self._name}-gate",
            metadata=self._metadata("gate", "ft-serving-gate"),
            role_ref=k8s.rbac.v1.RoleRefArgs(
                api_group="rbac.authorization.k8s.io",
                kind="Role",
                name=role.metadata.apply(lambda metadata: str(metadata.name)),
            ),
            subjects=[
                k8s.rbac.v1.SubjectArgs(
                    kind="ServiceAccount", name=reader.account, namespace=reader.namespace
                )
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        account = pulumi.Output.all(reader.account, binding.id).apply(lambda known: str(known[0]))
        return replace(reader, account=account)

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
        # Without a fixed name: new credentials are a new Secret beside the old one, and what uses
        # it follows.
        secret = k8s.core.v1.Secret(
            f"{self._name}-{part}",
            metadata=self._metadata("access"),
            type=kind,
            string_data={key: pulumi.Output.secret(value) for key, value in content.items()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return secret.metadata.apply(lambda metadata: str(metadata.name))

    def _policy(self, part: str, spec: k8s.networking.v1.NetworkPolicySpecArgs) -> None:
        k8s.networking.v1.NetworkPolicy(
            f"{self._name}-{part}",
            metadata=self._metadata(part, f"ft-serving-{part}"),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _metadata(self, part: str, name: str | None = None) -> k8s.meta.v1.ObjectMetaArgs:
        return k8s.meta.v1.ObjectMetaArgs(
            name=name, namespace=self.namespace, labels=labels(part), annotations=OWNED
        )


def docker_config(server: str, username: str, password: str) -> str:
    """Return the text of a Docker configuration file with one login."""
    both = base64.b64encode(f"{username}:{password}".encode()).decode()
    entry = {"username": username, "password": password, "auth": both}
    return json.dumps({"auths": {server: entry}})
