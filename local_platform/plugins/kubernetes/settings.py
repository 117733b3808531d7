"""The settings of the provider: which cluster, which namespace, which behaviour."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml
from kubernetes import config
from kubernetes.client import ApiClient
from kubernetes.config import ConfigException

from local_platform.plugins.errors import PluginError

UNSUPPORTED = {
    "renderYamlToDirectory": "manifests are not rendered to files",
    "alwaysRender": "manifests are not rendered to files",
    "helmReleaseSettings": "Helm releases are not served",
    "cluster": "name a context instead",
}
"""Settings of the real plugin that would be silently without effect here."""

_LOOPBACK = ("localhost", "127.0.0.0/8", "::1")
_CONNECTIONS = 64
"""Kept open at once: one each of the resources that the engine works on in parallel."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `pulumi_kubernetes.Provider` and the stack's configuration say.

    Attributes:
        kubeconfig: A path, or the contents of a kubeconfig file; by default what kubectl reads.
        context: The context's name; by default the current one.
        namespace: Where objects go that name no namespace; by default that of the context.
        patch_force: Whether applies take fields over from other managers.
        upsert: Whether an object that exists is taken over instead of being an error.
        config_map_mutable: Whether a ConfigMap is changed in place rather than replaced.
        secret_mutable: The same of a Secret.
        delete_unreachable: Whether objects of a cluster that is gone are dropped from the state.
    """

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    patch_force: bool = False
    upsert: bool = False
    config_map_mutable: bool = False
    secret_mutable: bool = False
    delete_unreachable: bool = False

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """The settings in values from the engine, then in the environment variables of the SDK."""
        return cls(
            kubeconfig=values.get("kubeconfig") or None,
            context=values.get("context") or None,
            namespace=values.get("namespace") or None,
            patch_force=_flag(values, "enablePatchForce", "ENABLE_PATCH_FORCE", default=False),
            upsert=_flag(values, "upsertExistingObjects", "UPSERT_EXISTING_OBJECTS", default=False),
            config_map_mutable=_flag(
                values, "enableConfigMapMutable", "ENABLE_CONFIGMAP_MUTABLE", default=False
            ),
            secret_mutable=_flag(
                values, "enableSecretMutable", "ENABLE_SECRET_MUTABLE", default=False
            ),
            delete_unreachable=_flag(
                values, "deleteUnreachable", "DELETE_UNREACHABLE", default=False
            ),
        )

    @cached_property
    def default_namespace(self) -> str:
        """Where objects go that name no namespace."""
        return self.namespace or self._context().get("namespace") or "default"

    def server(self) -> str:
        """The API server's address.

        Raises:
            PluginError: The kubeconfig cannot be read.
        """
        return str(self.client().configuration.host)

    def client(self) -> ApiClient:
        """A client for the cluster, which is not asked anything yet.

        Raises:
            PluginError: The kubeconfig cannot be read.
        """
        try:
            client = config.new_client_from_config_dict(self._document(), context=self.context)
        except (ConfigException, yaml.YAMLError, OSError, KeyError, TypeError) as exc:
            raise PluginError(
                f"configured Kubernetes cluster is unreachable: {self._source()} is no usable "
                f"kubeconfig: {exc}"
            ) from exc
        client.configuration.connection_pool_maxsize = _CONNECTIONS
        client.configuration.retries = False
        # The Go program that this stands in for asks no proxy for an address of this machine.
        excluded = (*_LOOPBACK, client.configuration.no_proxy or "")
        client.configuration.no_proxy = ",".join(excluded)
        return ApiClient(client.configuration)

    def _source(self) -> str:
        if self._is_document():
            return "the provider's `kubeconfig`"
        return str(self._path())

    def _is_document(self) -> bool:
        return self.kubeconfig is not None and ("\n" in self.kubeconfig or "{" in self.kubeconfig)

    def _path(self) -> Path:
        given = self.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        return Path(given).expanduser()

    def _document(self) -> dict[str, Any]:
        text = self.kubeconfig if self._is_document() else self._path().read_text()
        return dict(yaml.safe_load(text or ""))

    def _context(self) -> dict[str, Any]:
        document = self._document()
        name = self.context or document.get("current-context")
        contexts = {entry["name"]: entry["context"] for entry in document.get("contexts") or []}
        return dict(contexts.get(name) or {})


def _flag(values: Mapping[str, Any], name: str, variable: str, *, default: bool) -> bool:
    """A setting, which default providers get as text, or else an environment variable."""
    value = values.get(name)
    if value is None:
        value = os.environ.get(f"PULUMI_K8S_{variable}")
    return default if value is None else str(value).lower() in {"1", "t", "true"}
