"""The namespace of a stack, and what may be done in it by whom."""

import base64
import json
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as k8s

from components.image import RegistryLogin
from components.labels import labels
from components.network import gate_policy, server_policy, weights_policy

_READABLE = {
    "": ["events", "persistentvolumeclaims", "pods", "pods/log"],
    "apps": ["deployments", "replicasets"],
    "batch": ["jobs"],
    "serving.knative.dev": ["revisions", "services"],
    "serving.kserve.io": ["inferenceservices"],
}
"""What the smoke test reads to tell why a service is not ready, by API group."""


@dataclass(frozen=True, kw_only=True)
class AccessArgs:
    """Names, credentials and neighbours.

    Attributes:
        namespace: The namespace.
        retain: Whether the namespace outlives the stack, as the weights in it do.
        login: Who pulls images.
        hub: The model hub's address. In the cluster its pods listen on the port of its Service:
            network policies see theirs.
        hub_token: The token of a gated model; None where none is needed.
        callers: Namespaces whose pods reach the server: the ingress's and Knative's.
    """

    namespace: str
    retain: bool
    login: RegistryLogin
    hub: str
    hub_token: pulumi.Input[str] | None
    callers: tuple[str, ...]


class Access(pulumi.ComponentResource):
    """A namespace whose pods are restricted, and one service account a part.

    Attributes:
        namespace: The namespace's name.
        weights_account: The service account of the model download.
        server_account: The service account of the server.
        gate_account: The service account of the smoke test, which may read the namespace.
        hub_secret: The name of the Secret with the hub's token, or None.
    """

    namespace: pulumi.Output[str]
    weights_account: pulumi.Output[str]
    server_account: pulumi.Output[str]
    gate_account: pulumi.Output[str]
    hub_secret: pulumi.Output[str] | None

    def __init__(
        self, name: str, args: AccessArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("ft-serving:components:Access", name, None, opts)
        self._name = name
        namespace = k8s.core.v1.Namespace(
            name,
            metadata=k8s.meta.v1.ObjectMetaArgs(
                name=args.namespace,
                labels={
                    **labels("access"),
                    "pod-security.kubernetes.io/enforce": "restricted",
                },
            ),
            opts=pulumi.ResourceOptions(parent=self, retain_on_delete=args.retain),
        )
        self.namespace = namespace.metadata.apply(lambda metadata: str(metadata.name))
        pull_secrets = self._pull_secrets(args.login)
        self.weights_account = self._account("weights", pull_secrets)
        self.server_account = self._account("server", pull_secrets)
        self.gate_account = self._account("gate", pull_secrets)
        self._may_read(self.gate_account)
        self.hub_secret = (
            None
            if args.hub_token is None
            else self._secret("hub", "Opaque", {"token": args.hub_token})
        )
        self._policy("server", server_policy(args.callers))
        self._policy("weights", weights_policy(args.hub))
        self._policy("gate", gate_policy(args.hub, args.callers))
        self.register_outputs(
            {
                "namespace": self.namespace,
                "weights_account": self.weights_account,
                "server_account": self.server_account,
                "gate_account": self.gate_account,
                "hub_secret": self.hub_secret,
            }
        )

    def _account(self, part: str, pull_secrets: list[pulumi.Output[str]]) -> pulumi.Output[str]:
        account = k8s.core.v1.ServiceAccount(
            f"{self._name}-{part}",
            metadata=self._metadata(part, f"ft-serving-{part}"),
            automount_service_account_token=False,
            image_pull_secrets=[
                k8s.core.v1.LocalObjectReferenceArgs(name=secret) for secret in pull_secrets
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        return account.metadata.apply(lambda metadata: str(metadata.name))

    def _may_read(self, account: pulumi.Output[str]) -> None:
        role = k8s.rbac.v1.Role(
            f"{self._name}-gate",
            metadata=self._metadata("gate", "ft-serving-gate"),
            rules=[
                k8s.rbac.v1.PolicyRuleArgs(
                    api_groups=[group], resources=kinds, verbs=["get", "list", "watch"]
                )
                for group, kinds in _READABLE.items()
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        k8s.rbac.v1.RoleBinding(
            f"{self._name}-gate",
            metadata=self._metadata("gate", "ft-serving-gate"),
            role_ref=k8s.rbac.v1.RoleRefArgs(
                api_group="rbac.authorization.k8s.io",
                kind="Role",
                name=role.metadata.apply(lambda metadata: str(metadata.name)),
            ),
            subjects=[
                k8s.rbac.v1.SubjectArgs(
                    kind="ServiceAccount", name=account, namespace=self.namespace
                )
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _pull_secrets(self, login: RegistryLogin) -> list[pulumi.Output[str]]:
        if login.username is None:
            return []
        content = pulumi.Output.all(login.username, login.password).apply(
            lambda given: docker_config(login.server, *given)
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
        return k8s.meta.v1.ObjectMetaArgs(name=name, namespace=self.namespace, labels=labels(part))


def docker_config(server: str, username: str, password: str) -> str:
    """Return the text of a Docker configuration file with one login."""
    both = base64.b64encode(f"{username}:{password}".encode()).decode()
    entry = {"username": username, "password": password, "auth": both}
    return json.dumps({"auths": {server: entry}})
