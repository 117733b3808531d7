"""Type tokens of the SDK, and which of them are served."""

from local_platform.plugins.errors import PluginError

_REFUSED = {
    "helm.sh": "Helm charts and releases",
    "yaml": "YAML components that the provider expands",
    "kustomize": "Kustomize directories",
}


def parse_token(token: str) -> tuple[str, str]:
    """The apiVersion and kind of a resource type such as `kubernetes:core/v1:Secret`.

    Raises:
        PluginError: It is no kind of the API, or one that only the real plugin serves.
    """
    _, api_version, kind = token.split(":")
    for prefix, what in _REFUSED.items():
        if api_version.startswith(prefix):
            raise PluginError(
                f"{token}: {what} need the real kubernetes plugin; "
                "run `pulumi plugin install resource kubernetes`"
            )
    group, _, _ = api_version.rpartition("/")
    if "." not in group or group.endswith(".k8s.io"):
        _require_single_object(token, kind)
    return api_version.removeprefix("core/"), kind


def _require_single_object(token: str, kind: str) -> None:
    """Of Kubernetes's own kinds the SDK has variants; a custom kind may be named like them."""
    if kind.endswith("Patch"):
        raise PluginError(
            f"{token}: patches of objects that others made need the real kubernetes plugin; set "
            "the fields in the resource that makes the object"
        )
    if kind.endswith("List"):
        raise PluginError(
            f"{token}: lists need the real kubernetes plugin; make a resource of each object"
        )
