"""What loading a kubeconfig may raise. Importing this needs the extra `cluster`."""

from kubernetes.config.config_exception import ConfigException
from yaml import YAMLError

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
