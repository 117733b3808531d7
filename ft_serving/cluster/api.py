"""The API server of a cluster, as a kubeconfig or a pod names it. Importing this needs `cluster`.

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

_LOAD_ERRORS: Final = (
    ConfigException,
    OSError,
    YAMLError,
    # A file of another shape, and keys that are no base64, as the Kubernetes client meets them.
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
# Seconds to connect and to wait; webhooks get 10 s by default.
_REQUEST_TIMEOUT: Final = (5.0, 20.0)
_SERVICE_ACCOUNT_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")

# Dozens of requests at once are more than some API servers take. What a webhook fails of has 500.
_BUSY: Final = (
    http.client.TOO_MANY_REQUESTS,
    http.client.BAD_GATEWAY,
    http.client.SERVICE_UNAVAILABLE,
    http.client.GATEWAY_TIMEOUT,
)
_WHILE_BUSY: Final = urllib3.Retry(
    # Whoever waits says for what; attempts to connect would only add silence.
    connect=0,
    read=0,
    redirect=0,
    # A certificate that is not trusted, and a proxy that refuses.
    other=0,
    status=4,
    status_forcelist=_BUSY,
    # What is asked here may be asked twice: nothing is made by it.
    allowed_methods=None,
    backoff_factor=0.25,
    raise_on_status=False,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ApiAnswer:
    """What an API server answers.

    Attributes:
        status: The HTTP status.
        content: The body, as it came.
    """

    status: int
    content: bytes

    @property
    def text(self) -> str:
        """The body as text, such as a log."""
        return self.content.decode(errors="replace")

    @property
    def document(self) -> Document:
        """The body as an object or a Status; what is neither becomes a Status' message."""
        try:
            found: Any = json.loads(self.content)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"message": self.text.strip()}

    @property
    def message(self) -> str:
        """What a Status says."""
        return str(self.document.get("message", ""))


class Api:
    """An API server, and who asks it.

    Every request may raise `ClusterUnavailableError`, and `ClusterRefusalError` where the server
    does not accept who asks; of other statuses the caller judges.

    Attributes:
        namespace: That of the context or of the pod's service account.
    """

    def __init__(
        self, load: Callable[[Configuration], None], *, namespace: str, credentials: str
    ) -> None:
        """Make a client; `of_kubeconfig` and `of_pod` know how.

        Args:
            load: Fills in a configuration.
            namespace: The namespace that goes with it.
            credentials: Whose credentials they are, for messages.

        Raises:
            ProxyError: The environment or the kubeconfig names a proxy that cannot be used.
            Exception: What `load` raises.
        """
        configuration = Configuration()
        # The Kubernetes client reads the environment by rules of its own, and drops a proxy's
        # password.
        configuration.proxy = None
        load(configuration)
        named = configuration.proxy
        proxy = proxy_for(
            configuration.host, configured=("proxy-url of the kubeconfig", named) if named else None
        )
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
        """Return the API server that a context of a kubeconfig names.

        Args:
            path: The kubeconfig's path; by default KUBECONFIG or ~/.kube/config.
            context: A context of it; by default its current one.
            settings: What the user sets to name a kubeconfig and a context, for messages.

        Raises:
            ClusterUnavailableError: There is no such file or context, or no such proxy.
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
        except ProxyError as exc:
            raise ClusterUnavailableError(f"No cluster can be asked: {exc}") from exc
        except _LOAD_ERRORS as exc:
            raise ClusterUnavailableError(
                f"No cluster can be asked: {exc}. Set {settings[0]} to a kubeconfig, and "
                f"{settings[1]} to one of its contexts"
            ) from exc

    @classmethod
    def of_pod(cls) -> Self | None:
        """Return the API server that this pod's service account is for; None outside of a pod.

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
        except ProxyError as exc:
            raise ClusterUnavailableError(f"No cluster can be asked: {exc}") from exc
        except ConfigException as exc:
            raise ClusterUnavailableError(
                f"The pod's service account cannot be used: {exc}"
            ) from exc

    def get(self, path: str, **query: str | int) -> ApiAnswer:
        """Return what is at a path: an object, a list, or text."""
        return self._ask("GET", path, query, None)

    def post(self, path: str, body: Document, **query: str | int) -> ApiAnswer:
        """Return what is said to an object: a review, or a creation that is only tried."""
        return self._ask("POST", path, query, body)

    def delete(self, path: str) -> ApiAnswer:
        """Delete the object at a path."""
        return self._ask("DELETE", path, {}, None)

    def _ask(
        self, method: str, path: str, query: Mapping[str, str | int], body: Document | None
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
            # Of attempts that came to nothing, the reason is what the last one came to.
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
