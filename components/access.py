"""The namespace of a stack, its accounts, and what each of them may do."""

import base64
import json
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as k8s

from components.cluster import OWNED, STACK, labels, name_of
from components.image import ImageRegistry
from components.network import gate_policy, server_policy, weights_policy
from components.pods import Document, PodIdentity
from stacks.config import StackConfig

READABLE = {
    "": ["events", "persistentvolumeclaims", "pods", "pods/log"],
    "apps": ["deployments", "replicasets"],
    "batch": ["jobs"],
    "serving.knative.dev": ["revisions", "services"],
    "serving.kserve.io": ["inferenceservices"],
}
"""The kinds that the gates read to tell why a deployment fails, by API group."""


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
        gate: That of the Jobs that wait for the download and test the service; it may read the
            namespace.
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
            metadata={
                "name": config.cluster.namespace,
                "labels": {
                    **labels("access"),
                    "pod-security.kubernetes.io/enforce": "restricted",
                },
                "annotations": {**OWNED, STACK: args.stack},
            },
            # It goes with the weights in it, or stays with them.
            opts=pulumi.ResourceOptions(
                parent=self, retain_on_delete=not config.storage.delete_weights_on_destroy
            ),
        )
        self.namespace = name_of(namespace)
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
            image_pull_secrets=[{"name": secret} for secret in pull_secrets],
            opts=pulumi.ResourceOptions(parent=self),
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
        role = k8s.rbac.v1.Role(
            f"{self._name}-gate",
            metadata=self._metadata("gate", "ft-serving-gate"),
            rules=[*reading, renewing],
            opts=pulumi.ResourceOptions(parent=self),
        )
        account = {"kind": "ServiceAccount", "name": reader.account, "namespace": reader.namespace}
        binding = k8s.rbac.v1.RoleBinding(
            f"{self._name}-gate",
            metadata=self._metadata("gate", "ft-serving-gate"),
            role_ref={
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "Role",
                "name": name_of(role),
            },
            subjects=[account],
            opts=pulumi.ResourceOptions(parent=self),
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
        secret = k8s.core.v1.Secret(
            f"{self._name}-{part}",
            metadata=self._metadata("access"),
            type=kind,
            string_data={key: pulumi.Output.secret(value) for key, value in content.items()},
            opts=pulumi.ResourceOptions(parent=self),
        )
        return name_of(secret)

    def _policy(self, part: str, spec: Document) -> None:
        k8s.networking.v1.NetworkPolicy(
            f"{self._name}-{part}",
            metadata=self._metadata(part, f"ft-serving-{part}"),
            spec=spec,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _metadata(self, part: str, name: str | None = None) -> Document:
        return {
            **({} if name is None else {"name": name}),
            "namespace": self.namespace,
            "labels": labels(part),
            "annotations": OWNED,
        }


def docker_config(server: str, username: str, password: str) -> str:
    """Return the text of a Docker configuration file with one login."""
    both = base64.b64encode(f"{username}:{password}".encode()).decode()
    entry = {"username": username, "password": password, "auth": both}
    return json.dumps({"auths": {server: entry}})
