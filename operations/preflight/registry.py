"""Asks registries by the OCI distribution API: https://github.com/opencontainers/distribution-spec.

Tokens follow https://distribution.github.io/distribution/spec/auth/token.
"""

import http.client
import re
from collections.abc import Mapping

import urllib3
from urllib3.util import Timeout, make_headers, parse_url

from ft_serving.core.errors import ProxyError
from ft_serving.core.proxies import blamed, open_pool, proxy_for
from operations.preflight.checks.images import is_local
from operations.preflight.facts import RegistryAnswer
from operations.preflight.needs import Needs

_HUB, _HUB_API = "docker.io", "registry-1.docker.io"
_TIMEOUT = Timeout(connect=3.0, read=10.0)
_MANIFESTS = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_REFUSED = (http.client.UNAUTHORIZED, http.client.FORBIDDEN)


def ask_registry(needs: Needs) -> RegistryAnswer:
    """Ask the stack's registry whether it answers, and accepts the login where there is one."""
    images = needs.config.image
    login = _basic(needs)
    url = f"{_base(images.registry)}/v2/"
    try:
        # GET, because some registries do not know HEAD of /v2/.
        answer = _request("GET", url, {})
        if answer.status not in _REFUSED or not login:
            return RegistryAnswer(reached=True)
        repository = f"{images.folder}/{needs.config.engine.image}"
        shown = _login(answer.headers, f"repository:{repository}:pull,push", login)
        if shown is None:
            return RegistryAnswer(reached=True, refused=True, reason="it gives no token")
        # A token is for a repository; the registry has accepted the login by giving it.
        if shown["authorization"].startswith("Bearer"):
            return RegistryAnswer(reached=True)
        status = _request("GET", url, shown).status
    except _NoAnswerError as exc:
        return RegistryAnswer(reached=False, reason=str(exc))
    if status in _REFUSED:
        return RegistryAnswer(reached=True, refused=True, reason=f"it answers {status}")
    return RegistryAnswer(reached=True)


def ask_image(needs: Needs, image: str) -> RegistryAnswer:
    """Ask a registry whether an image (HOST/NAME@DIGEST, or one of Docker Hub) exists.

    The stack's login is used only in the stack's registry.
    """
    host, repository, digest = _parts(image)
    url = f"{_base(host)}/v2/{repository}/manifests/{digest}"
    accept = {"accept": _MANIFESTS}
    try:
        answer = _request("HEAD", url, accept)
        if answer.status in _REFUSED:
            own = _basic(needs) if host == needs.config.image.registry else {}
            login = _login(answer.headers, f"repository:{repository}:pull", own)
            if login is not None:
                answer = _request("HEAD", url, {**accept, **login})
    except _NoAnswerError as exc:
        return RegistryAnswer(reached=False, reason=str(exc))
    return RegistryAnswer(
        reached=True,
        missing=answer.status == http.client.NOT_FOUND,
        refused=answer.status in _REFUSED,
    )


def _basic(needs: Needs) -> dict[str, str]:
    username, password = needs.config.image.username, needs.password
    if username is None or password is None:
        return {}
    return dict(make_headers(basic_auth=f"{username}:{password}"))


def _login(headers: Mapping[str, str], scope: str, basic: dict[str, str]) -> dict[str, str] | None:
    """Return the header that answers a challenge; None where there is none.

    `basic` is the header of a login, and empty without one.
    """
    challenge = headers.get("www-authenticate", "")
    if not challenge.lower().startswith("bearer"):
        return basic or None
    asked = dict(_CHALLENGE.findall(challenge))
    realm = asked.get("realm", "")
    try:
        url = parse_url(realm)
    except urllib3.exceptions.LocationParseError:
        return None
    # A password goes to no realm where it could be read off the wire.
    if url.scheme != "https" and not is_local(url.host or ""):
        return None
    fields = {"service": asked.get("service", ""), "scope": scope}
    answer = _request("GET", realm, basic, fields)
    try:
        document = answer.json()
        token = document.get("token") or document["access_token"]
    except (ValueError, KeyError, AttributeError):
        return None
    return {"authorization": f"Bearer {token}"}


class _NoAnswerError(Exception):
    """Nothing answers, or only a proxy does."""


def _request(
    method: str, url: str, headers: Mapping[str, str], fields: Mapping[str, str] | None = None
) -> urllib3.BaseHTTPResponse:
    proxy = None
    try:
        proxy = proxy_for(url)
        return open_pool(proxy).request(
            method, url, fields=fields, headers=dict(headers), timeout=_TIMEOUT, retries=False
        )
    except ProxyError as exc:
        raise _NoAnswerError(str(exc)) from exc
    except urllib3.exceptions.HTTPError as exc:
        # The last part of urllib3's message is the plainest.
        reason = str(exc.args[-1] if exc.args else exc).rpartition(": ")[2]
        raise _NoAnswerError(blamed(reason, proxy, exc)) from exc


def _base(host: str) -> str:
    return f"http://{host}" if is_local(host) else f"https://{_HUB_API if host == _HUB else host}"


def _parts(image: str) -> tuple[str, str, str]:
    """Return host, repository and digest; Docker tells a host from a folder in this way."""
    name, _, digest = image.partition("@")
    first, slash, rest = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return first, rest, digest
    return _HUB, name if slash else f"library/{name}", digest
