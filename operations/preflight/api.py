"""Requests to an API server that change nothing. Importing this needs the extra `cluster`."""

import http.client
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import config
from kubernetes.config.config_exception import ConfigException

from ft_serving.cluster.diagnosis.documents import Document
from ft_serving.cluster.kubeconfig import LOAD_ERRORS, open_client
from ft_serving.core.proxies import ProxyError, blamed
from operations.preflight.errors import CredentialsError, UnreachableError

# Seconds to connect and to wait; webhooks get 10 s by default.
_REQUEST_TIMEOUT = (3.0, 15.0)

# Dozens of requests at once are more than some API servers take. What a webhook fails of has 500.
_BUSY = (
    http.client.TOO_MANY_REQUESTS,
    http.client.BAD_GATEWAY,
    http.client.SERVICE_UNAVAILABLE,
    http.client.GATEWAY_TIMEOUT,
)
_WHILE_BUSY = urllib3.Retry(
    connect=0,
    read=0,
    redirect=0,
    # A certificate that is not trusted, and a proxy that refuses.
    other=0,
    status=4,
    status_forcelist=_BUSY,
    # Nothing is changed by what is asked here.
    allowed_methods=None,
    backoff_factor=0.25,
    raise_on_status=False,
)


class Api:
    """An API server, asked as a context of a kubeconfig says."""

    def __init__(self, *, kubeconfig: str | None, context: str | None) -> None:
        """Choose an API server.

        Args:
            kubeconfig: Path of the kubeconfig; by default KUBECONFIG or ~/.kube/config.
            context: A context of it; by default its current one.

        Raises:
            UnreachableError: There is no such file or context, or no such proxy.
        """
        path = None if kubeconfig is None else str(Path(kubeconfig).expanduser())
        try:
            self._client, self._proxy = open_client(partial(config.load_kube_config, path, context))
        except ProxyError as exc:
            raise UnreachableError(f"No cluster can be asked: {exc}") from exc
        except LOAD_ERRORS as exc:
            raise UnreachableError(
                f"No cluster can be asked: {exc}. Set cluster.kubeconfig or KUBECONFIG to a "
                "kubeconfig, and cluster.context to one of its contexts"
            ) from exc
        self._client.rest_client.pool_manager.connection_pool_kw["retries"] = _WHILE_BUSY

    def get(self, path: str, **query: str) -> tuple[int, Document]:
        """What is at a path: the status, and the document or a Status object.

        Raises:
            UnreachableError: There is no answer.
            CredentialsError: Whoever asks is not known.
        """
        return self._ask("GET", path, query, None)

    def post(self, path: str, body: Document, **query: str) -> tuple[int, Document]:
        """What is said to an object: a review, or a creation that is only tried.

        Raises:
            UnreachableError: There is no answer.
            CredentialsError: Whoever asks is not known.
        """
        return self._ask("POST", path, query, body)

    def _ask(
        self, method: str, path: str, query: Mapping[str, str], body: Document | None
    ) -> tuple[int, Document]:
        host = self._client.configuration.host
        try:
            request = self._client.param_serialize(
                method,
                path,
                query_params=list(query.items()),
                header_params={"Accept": "application/json", "Content-Type": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = self._client.call_api(*request, _request_timeout=_REQUEST_TIMEOUT)
            content = bytes(answer.read())
        except (urllib3.exceptions.HTTPError, OSError, ConfigException) as exc:
            reason = blamed(str(exc), self._proxy, exc)
            raise UnreachableError(
                f"The API server {host} does not answer: {reason}. `kubectl cluster-info` tries it"
            ) from exc
        if answer.status == http.client.UNAUTHORIZED:
            raise CredentialsError(
                f"The API server {host} does not accept the kubeconfig's credentials. Renew them; "
                "`kubectl auth whoami` tries them"
            )
        if answer.status in _BUSY:
            raise UnreachableError(
                f"The API server {host} is busy; it answers {answer.status}: "
                f"{_document(content).get('message')}. Try again later"
            )
        return int(answer.status), _document(content)


def _document(content: bytes) -> Document:
    try:
        found: Any = json.loads(content)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    return {"message": content.decode(errors="replace").strip()}
