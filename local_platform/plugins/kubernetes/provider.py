"""The calls of the engine, for objects of Kubernetes."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import yaml
from google.protobuf import empty_pb2
from pulumi.runtime.proto import provider_pb2

from local_platform.plugins.engine import Engine
from local_platform.plugins.errors import PluginError
from local_platform.plugins.kubernetes.changes import Change, Path, shown
from local_platform.plugins.kubernetes.cluster import Cluster
from local_platform.plugins.kubernetes.differences import difference
from local_platform.plugins.kubernetes.errors import NotFoundError, UnknownKindError
from local_platform.plugins.kubernetes.manifest import (
    imported,
    named,
    outputs,
    parse_id,
    refreshed,
    resource_id,
    without_nulls,
)
from local_platform.plugins.kubernetes.objects import Objects
from local_platform.plugins.kubernetes.readiness.choice import check_for, timeout_of
from local_platform.plugins.kubernetes.settings import UNSUPPORTED, Settings
from local_platform.plugins.kubernetes.tokens import parse_token
from local_platform.plugins.server import Plugin
from local_platform.plugins.values import UNKNOWN, from_struct, has_unknown, reveal, to_struct

_KINDS = {
    Change.ADDED: provider_pb2.PropertyDiff.ADD,
    Change.DELETED: provider_pb2.PropertyDiff.DELETE,
    Change.UPDATED: provider_pb2.PropertyDiff.UPDATE,
}
_REPLACING_KINDS = {
    Change.ADDED: provider_pb2.PropertyDiff.ADD_REPLACE,
    Change.DELETED: provider_pb2.PropertyDiff.DELETE_REPLACE,
    Change.UPDATED: provider_pb2.PropertyDiff.UPDATE_REPLACE,
}


class KubernetesPlugin(Plugin):
    """Serves `pulumi_kubernetes` for one cluster."""

    version = "4.34.2"

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._settings = Settings()
        self._cluster: Cluster | None = None
        self._lock = threading.Lock()

    def get_schema(self, _: provider_pb2.GetSchemaRequest) -> provider_pb2.GetSchemaResponse:
        """A schema without resources: programs in Python have theirs in the SDK."""
        schema = {"name": "kubernetes", "version": self.version}
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    def check_config(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Refuses settings that would have no effect."""
        given = reveal(from_struct(request.news))
        failures = [
            provider_pb2.CheckFailure(property=name, reason=f"is not supported here: {why}")
            for name, why in UNSUPPORTED.items()
            if given.get(name) not in (None, UNKNOWN, "", "false", False)
        ]
        if str(given.get("enableServerSideApply")).lower() == "false":
            failures.append(
                provider_pb2.CheckFailure(
                    property="enableServerSideApply",
                    reason="must be true: objects are only made by server-side apply here",
                )
            )
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def diff_config(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Another cluster replaces the provider, and with it every resource."""
        old, new = (reveal(from_struct(side)) for side in (request.olds, request.news))
        changed = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
        if not changed:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        try:
            moved = Settings.of(old).server() != Settings.of(new).server()
        except PluginError:
            # An old kubeconfig that is gone tells nothing about where its cluster was.
            moved = False
        replaces = [name for name in changed if name in {"kubeconfig", "context"}] if moved else []
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME, diffs=changed, replaces=replaces
        )

    def configure(self, request: provider_pb2.ConfigureRequest) -> provider_pb2.ConfigureResponse:
        """Takes the settings; the cluster is first asked when a resource needs it."""
        self._settings = Settings.of(reveal(from_struct(request.args)))
        return super().configure(request)

    def invoke(self, request: provider_pb2.InvokeRequest) -> provider_pb2.InvokeResponse:
        """Reads YAML for `pulumi_kubernetes.yaml`."""
        if request.tok != "kubernetes:yaml:decode":
            raise PluginError(f"{request.tok}: only the real kubernetes plugin has this function")
        text = reveal(from_struct(request.args))["text"]
        documents = [document for document in yaml.safe_load_all(text) if document]
        response = provider_pb2.InvokeResponse()
        # The field's name is a keyword of Python.
        getattr(response, "return").CopyFrom(to_struct({"result": documents}))
        return response

    def check(self, request: provider_pb2.CheckRequest) -> provider_pb2.CheckResponse:
        """Completes a manifest by its name and namespace."""
        api_version, kind = parse_token(request.type)
        inputs = {"apiVersion": api_version, "kind": kind, **from_struct(request.news)}
        inputs = without_nulls(inputs)
        named(inputs, from_struct(request.olds), request.name, request.randomSeed)
        metadata = inputs["metadata"]
        if isinstance(metadata, dict) and "namespace" not in metadata and self._namespaced(inputs):
            metadata["namespace"] = self._settings.default_namespace
        try:
            if not has_unknown(metadata):
                check_for(inputs)
                timeout_of(inputs, 0)
        except PluginError as exc:
            failure = provider_pb2.CheckFailure(property="metadata.annotations", reason=str(exc))
            return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=[failure])
        return provider_pb2.CheckResponse(inputs=to_struct(inputs))

    def diff(self, request: provider_pb2.DiffRequest) -> provider_pb2.DiffResponse:
        """Says what an update would change, and whether it takes a new object."""
        old, new = from_struct(request.old_inputs), from_struct(request.news)
        found = difference(old, new, self._reached(), self._settings)
        if not found.changed:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        replaces = sorted({shown(path) for path in found.replacing})
        detailed = {
            shown(path): provider_pb2.PropertyDiff(
                kind=(_REPLACING_KINDS if _inside(path, found.replacing) else _KINDS)[change],
                inputDiff=_has(old, path) or _has(new, path),
            )
            for path, change in found.changed.items()
        }
        return provider_pb2.DiffResponse(
            changes=provider_pb2.DiffResponse.DIFF_SOME,
            diffs=sorted({str(path[0]) for path in found.changed}),
            replaces=replaces,
            detailedDiff=detailed,
            hasDetailedDiff=True,
            deleteBeforeReplace=found.delete_first,
        )

    def create(self, request: provider_pb2.CreateRequest) -> provider_pb2.CreateResponse:
        """Makes an object and waits for it, or foretells it."""
        inputs = from_struct(request.properties)
        objects = self._objects(request.urn)
        if request.preview:
            return provider_pb2.CreateResponse(properties=to_struct(objects.foretell(inputs)))
        live = objects.create(inputs, timeout=request.timeout)
        return provider_pb2.CreateResponse(
            id=resource_id(live), properties=to_struct(outputs(live, inputs))
        )

    def update(self, request: provider_pb2.UpdateRequest) -> provider_pb2.UpdateResponse:
        """Changes an object and waits for it, or foretells it."""
        inputs = from_struct(request.news)
        objects = self._objects(request.urn)
        if request.preview:
            told = objects.foretell(inputs, exists=True)
            return provider_pb2.UpdateResponse(properties=to_struct(told))
        live = objects.update(inputs, timeout=request.timeout)
        return provider_pb2.UpdateResponse(properties=to_struct(outputs(live, inputs)))

    def read(self, request: provider_pb2.ReadRequest) -> provider_pb2.ReadResponse:
        """Tells an object as it is now; an empty answer when it is gone."""
        inputs = from_struct(request.inputs)
        api_version, kind = parse_token(request.type)
        api_version = inputs.get("apiVersion", api_version)
        namespace, name = parse_id(request.id)
        cluster = self._reached()
        try:
            if namespace is None and cluster.namespaced(api_version, kind):
                namespace = self._settings.default_namespace
            live = cluster.get(api_version, kind, namespace, name)
        except (NotFoundError, UnknownKindError):
            return provider_pb2.ReadResponse()
        seen = refreshed(inputs, live) if inputs else imported(live)
        if inputs:
            self._objects(request.urn).require_health(live, seen)
        return provider_pb2.ReadResponse(
            id=resource_id(live),
            inputs=to_struct(seen),
            properties=to_struct(outputs(live, seen)),
        )

    def delete(self, request: provider_pb2.DeleteRequest) -> empty_pb2.Empty:
        """Deletes an object and waits until it is gone."""
        state = from_struct(request.properties)
        inputs = from_struct(request.old_inputs) or state
        self._objects(request.urn).delete(state, inputs, timeout=request.timeout)
        return empty_pb2.Empty()

    def _reached(self) -> Cluster:
        with self._lock:
            if self._cluster is None:
                self._cluster = Cluster(self._settings.client())
            return self._cluster

    def _objects(self, urn: str) -> Objects:
        return Objects(
            self._reached(),
            self._settings,
            report=lambda message: self.engine.status(urn, message),
            warn=lambda message: self.engine.warn(urn, message),
            cancelled=self.cancelled,
        )

    def _namespaced(self, inputs: Mapping[str, Any]) -> bool:
        try:
            return self._reached().namespaced(inputs["apiVersion"], inputs["kind"])
        except UnknownKindError:
            # Its CustomResourceDefinition is yet to come: it is asked again before the creation.
            return False


def _inside(path: Path, replacing: frozenset[Path]) -> bool:
    return any(path[: len(outer)] == outer for outer in replacing)


def _has(value: Any, path: Path) -> bool:  # noqa: ANN401 - any JSON
    value = reveal(value)
    for step in path:
        if isinstance(step, int):
            if not isinstance(value, list) or step >= len(value):
                return False
        elif not isinstance(value, Mapping) or step not in value:
            return False
        value = value[step]
    return True
