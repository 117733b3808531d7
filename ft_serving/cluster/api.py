"""A client of the API server that a kubeconfig or a pod names. It needs the extra `cluster`.

Objects are passed as the API server gives them: the generated classes of the Kubernetes client
rename their fields, and building them takes longer than the request.
"""

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from kubernetes.config import kube_config
from kubernetes.config.config_exception import ConfigException
from yaml import YAMLError

from ft_serving.cluster.documents import Document
from ft_serving.cluster.errors import ClusterRefusalError, ClusterUnavailableError
from ft_serving.core.errors import ProxyError
from ft_serving.core.proxies import blamed, proxy_for

# The last four are what the Kubernetes client raises for a file of another shape, and for keys
# that are not base64.
_LOAD_ERRORS: Final = (
    ConfigException, OSError, YAMLError, AttributeError, KeyError, TypeError, ValueError,
)  # fmt: skip
# Seconds to connect and to wait; webhooks get 10 s by default.
_REQUEST_TIMEOUT: Final = (5.0, 20.0)
_SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# Some API servers refuse dozens of requests at once. 500 is not here: it has a webhook's error.
_BUSY: Final = (429, 502, 503, 504)
_WHILE_BUSY: Final = urllib3.Retry(
    # Callers wait for an API server that is away, and say so; attempts here would be silent.
    connect=0,
    read=0,
    redirect=0,
    # A certificate that is not trusted, or a proxy that refuses.
    other=0,
    status=4,
    status_forcelist=_BUSY,
    # Requests of this room may be repeated, whatever their method: they create nothing.
    allowed_methods=None,
    backoff_factor=0.25,
    raise_on_status=False,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiAnswer:
    """An answer of an API server: its HTTP status, and the body as it came."""

    status: int
    content: bytes

    @property
    def text(self) -> str:
        """Return the body as text, such as a log."""
        return self.content.decode(errors="replace")

    @property
    def document(self) -> Document:
        """Return the body as an object; text that is not JSON becomes a Status' message."""
        try:
            found: Any = json.loads(self.content)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"message": self.text.strip()}

    @property
    def message(self) -> str:
        """Return the message of a Status."""
        return str(self.document.get("message", ""))


class Api:
    """A client of an API server.

    Every request may raise `ClusterUnavailableError`, and `ClusterRefusalError` for credentials
    that the server does not accept. The caller judges other statuses.

    Attributes:
        namespace: The namespace of the kubeconfig's context or of the pod's service account.
    """

    def __init__(
        self, load: Callable[[Configuration], None], *, namespace: str, credentials: str
    ) -> None:
        """Make a client of a configuration that `load` fills in, for the classmethods below.

        Raises:
            ClusterUnavailableError: The environment or the kubeconfig names a bad proxy.
            Exception: The errors of `load`.
        """
        configuration = Configuration()
        # The Kubernetes client reads the environment by its own rules, and drops a proxy's
        # password.
        configuration.proxy = None
        load(configuration)
        named = configuration.proxy
        try:
            proxy = proxy_for(
                configuration.host,
                configured=("proxy-url of the kubeconfig", named) if named else None,
            )
        except ProxyError as exc:
            raise ClusterUnavailableError(f"No cluster can be asked: {exc}") from exc
        configuration.proxy = proxy.address if proxy else None
        configuration.proxy_headers = proxy.headers if proxy else None
        configuration.no_proxy = None
        self.namespace = namespace
        self._client, self._proxy, self._credentials = ApiClient(configuration), proxy, credentials
        self._client.rest_client.pool_manager.connection_pool_kw["retries"] = _WHILE_BUSY

    @classmethod
    def of_kubeconfig(
        cls,
        path: str | None = None,
        context: str | None = None,
        *,
        settings: tuple[str, str] = ("KUBECONFIG", "--context"),
    ) -> Self:
        """Return a client for a context of a kubeconfig.

        Args:
            path: The kubeconfig's path; by default KUBECONFIG or ~/.kube/config.
            context: One of its contexts; by default the current one.
            settings: The user's settings for the path and the context, for messages.

        Raises:
            ClusterUnavailableError: There is no such file or context, or the proxy is bad.
        """
        try:
            merger = kube_config.KubeConfigMerger(
                str(Path(path).expanduser()) if path else kube_config.KUBE_CONFIG_DEFAULT_LOCATION
            )
            if merger.config is None:
                raise ConfigException("Invalid kube-config file. No configuration found.")
            loader = kube_config.KubeConfigLoader(
                config_dict=merger.config,
                config_base_path=None,
                active_context=context,
                config_persister=merger.save_changes,
            )
            namespace = loader.current_context["context"].get("namespace") or "default"
            return cls(
                loader.load_and_set, namespace=str(namespace), credentials="the kubeconfig's"
            )
        except _LOAD_ERRORS as exc:
            said = str(exc).rstrip(".")
            raise ClusterUnavailableError(
                f"No cluster can be asked: {said}. Set {settings[0]} to a kubeconfig, and "
                f"{settings[1]} to one of its contexts"
            ) from exc

    @classmethod
    def of_pod(cls) -> Self | None:
        """Return a client with this pod's service account; None outside of a pod.

        Raises:
            ClusterUnavailableError: The service account cannot be used.
        """
        if not _SERVICE_ACCOUNT_NAMESPACE.is_file():
            return None
        try:
            return cls(
                config.load_incluster_config,
                namespace=_SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip(),
                credentials="the pod's service account's",
            )
        except ConfigException as exc:
            raise ClusterUnavailableError(
                f"The pod's service account cannot be used: {exc}"
            ) from exc

    def get(self, path: str, **query: str | int) -> ApiAnswer:
        """Return the object, the list or the text at a path."""
        return self._ask("GET", path, query)

    def post(self, path: str, body: Document, **query: str | int) -> ApiAnswer:
        """Return the answer to an access review, or to a creation with `dryRun`."""
        return self._ask("POST", path, query, body)

    def delete(self, path: str) -> ApiAnswer:
        """Delete the object at a path."""
        return self._ask("DELETE", path, {})

    def _ask(
        self, method: str, path: str, query: Mapping[str, str | int], body: Document | None = None
    ) -> ApiAnswer:
        host = self._client.configuration.host
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={
                    "Accept": "application/json, */*",
                    "Content-Type": "application/json",
                },
                body=body,
                auth_settings=["BearerToken"],
            )
            response = self._client.call_api(*request, _request_timeout=_REQUEST_TIMEOUT)
            answer = ApiAnswer(status=int(response.status), content=bytes(response.read()))
        except (urllib3.exceptions.HTTPError, OSError, ConfigException) as exc:
            # Of several attempts, the last one's error is the reason.
            cause = exc.reason if isinstance(exc, urllib3.exceptions.MaxRetryError) else exc
            reason = blamed(str(cause or exc), self._proxy, exc)
            raise ClusterUnavailableError(
                f"The API server {host} does not answer: {reason}. `kubectl cluster-info` tries it"
            ) from exc
        if answer.status == http.client.UNAUTHORIZED:
            raise ClusterRefusalError(
                f"The API server {host} does not accept {self._credentials} credentials: "
                f"{answer.message}. Renew them; `kubectl auth whoami` tries them"
            )
        if answer.status in _BUSY:
            raise ClusterUnavailableError(
                f"The API server {host} is busy; it answers {answer.status}: {answer.message}. "
                "Try again later"
            )
        return answer
