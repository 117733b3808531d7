"""Clients of API servers, as kubeconfigs and pods name them. Importing this needs `cluster`."""

from collections.abc import Callable

from kubernetes.client import ApiClient, Configuration
from kubernetes.config.config_exception import ConfigException
from yaml import YAMLError

from ft_serving.core.proxies import Proxy, proxy_for

LOAD_ERRORS = (
    ConfigException,
    OSError,
    YAMLError,
    # A file of another shape, and keys that are no base64, as the Kubernetes client meets them.
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
)
"""What loading a kubeconfig may raise."""


def open_client(load: Callable[[Configuration], None]) -> tuple[ApiClient, Proxy | None]:
    """Return a client, and the proxy that it asks through, if any.

    Args:
        load: Fills in a configuration, by one of the Kubernetes client's own functions.

    Raises:
        ProxyError: The environment or the kubeconfig names a proxy that cannot be used.
        Exception: What `load` raises.
    """
    configuration = Configuration()
    # The Kubernetes client reads the environment by rules of its own, and drops a proxy's password.
    configuration.proxy = None
    load(configuration)
    named = configuration.proxy
    proxy = proxy_for(
        configuration.host, configured=("proxy-url of the kubeconfig", named) if named else None
    )
    configuration.proxy = proxy.address if proxy else None
    configuration.proxy_headers = proxy.headers if proxy else None
    configuration.no_proxy = None
    return ApiClient(configuration), proxy
