"""Reads Kubernetes objects from manifests, ours and upstream's."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple, TypeAlias

import yaml

from local_platform import settings
from local_platform.errors import PlatformError

Manifest: TypeAlias = dict[str, Any]
"""One object. It is JSON without a schema of ours, hence `Any`."""

_OWN: Final = Path(__file__).parent / "manifests"
_VARIABLES: Final = {
    "CLUSTER_DNS": settings.CLUSTER_DNS,
    "CLUSTER_DOMAIN": settings.CLUSTER_DOMAIN,
    "HUB_PORT": str(settings.HUB_PORT),
    "INGRESS_DOMAIN": settings.INGRESS_DOMAIN,
    "INGRESS_CLASS": settings.INGRESS_CLASS,
    "INGRESS_PORT": str(settings.INGRESS_PORT),
    "NAMESPACE": settings.NAMESPACE,
    "NODE_ADDRESS": settings.NODE_ADDRESS,
    "STORAGE_CLASS": settings.STORAGE_CLASS,
}


class ObjectName(NamedTuple):
    """The name of an object in a cluster, whatever the version of its kind."""

    kind: str
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {f'{self.namespace}/' if self.namespace else ''}{self.name}"


def identity(manifest: Manifest) -> ObjectName:
    """Return the name of an object."""
    metadata = manifest["metadata"]
    return ObjectName(manifest["kind"], metadata.get("namespace"), metadata["name"])


def parse(text: str) -> list[Manifest]:
    """Return the objects of a YAML stream."""
    # The C loader is ten times as fast; the CRDs alone are 1.5 MB.
    return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]


def own(name: str, images: Mapping[str, str]) -> list[Manifest]:
    """Return the objects of a file in `manifests`, with settings and images for its variables."""
    return parse(Template((_OWN / f"{name}.yaml").read_text()).substitute({**_VARIABLES, **images}))


def upstream(folder: Path) -> list[Manifest]:
    """Return the objects of all YAML files below an upstream project's folder."""
    files = sorted(folder.rglob("*.yaml"))
    return [manifest for file in files for manifest in parse(file.read_text())]


def only(manifests: Iterable[Manifest], wanted: ObjectName) -> Manifest:
    """Return the one object of that name.

    Raises:
        PlatformError: It is not among them.
    """
    for manifest in manifests:
        if identity(manifest) == wanted:
            return manifest
    raise PlatformError(f"upstream's manifests no longer hold {wanted}")


def without_descriptions(definition: Manifest) -> Manifest:
    """Return a CustomResourceDefinition without the prose of its schema.

    The API server keeps every schema in memory several times over, and prose is most of it. Only
    the text of `kubectl explain` is lost.
    """
    return {**definition, "spec": _bare(definition["spec"], of_properties=False)}


def _bare(value: Any, *, of_properties: bool) -> Any:  # noqa: ANN401 - JSON of any shape
    """Return a value without `description`, unless that is the name of a property."""
    if isinstance(value, list):
        return [_bare(item, of_properties=False) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _bare(item, of_properties=key == "properties" and not of_properties)
        for key, item in value.items()
        if of_properties or key != "description" or not isinstance(item, str)
    }
