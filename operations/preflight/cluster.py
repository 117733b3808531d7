"""Reads the facts of a cluster. It needs the extra `cluster`."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from components.storage import CLAIM
from ft_serving.cluster.api import Api
from ft_serving.cluster.documents import Document, is_ending, name
from operations.preflight.checks.knative import NAMESPACE as KNATIVE_NAMESPACE
from operations.preflight.checks.platform import KNATIVE, KSERVE
from operations.preflight.facts import FactKind, Facts
from operations.preflight.needs import Needs, Permission, permissions
from operations.preflight.registry import ask_image, ask_registry

# The Kubernetes client keeps as many connections on a machine of two cores.
_AT_ONCE = 10
_TRIED_NAME = "ft-serving-preflight"
_TRIED_IMAGE = f"registry.invalid/preflight@sha256:{'0' * 64}"
# As `kubectl auth can-i '*' '*' --all-namespaces` asks.
_EVERYTHING = {"group": "*", "resource": "*", "verb": "*"}
_NAMESPACE_CREATION = Permission(group="", resource="namespaces", verb="create", namespaced=False)


def read_facts(needs: Needs, *, kubeconfig: str | None, context: str | None) -> Facts:
    """Ask a cluster and registries for all that the checks need, at once; change nothing.

    Args:
        needs: The needs to be checked.
        kubeconfig: Path of the kubeconfig; by default KUBECONFIG or ~/.kube/config.
        context: A context of it; by default its current one.

    Raises:
        ClusterUnavailableError: There is no such cluster, or no answer.
        ClusterRefusalError: The API server does not accept the credentials.
    """
    settings = ("cluster.kubeconfig or KUBECONFIG", "cluster.context")
    api = Api.of_kubeconfig(kubeconfig, context, settings=settings)
    version = str(api.get("/version").document.get("gitVersion", "unknown"))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        groups = pool.submit(api.get, "/apis")
        # First, because creations are tried in the namespace if it is there and stays.
        namespace = _read(api, f"/api/v1/namespaces/{needs.namespace}")
        stays = any(not is_ending(each) for each in namespace or ())
        home = needs.namespace if stays else "default"
        lists = {kind: pool.submit(_read, api, *where) for kind, where in _paths(needs).items()}
        answer = pool.submit(ask_registry, needs)
        existing = {
            it.existing: pool.submit(ask_image, needs, it.existing)
            for it in needs.sources
            if it.existing is not None
        }
        tried = {
            title: pool.submit(_refusal, api, home, document)
            for title, document in _objects(needs).items()
        }
        # A namespace that is there need not be created.
        asked = [
            each
            for each in permissions(needs.config)
            if not (namespace and each == _NAMESPACE_CREATION)
        ]
        # Dozens of reviews, of which an administrator needs none.
        if _may(api, _EVERYTHING):
            asked = []
        allowed = pool.map(partial(_allowed, api, needs.namespace), asked)
        return Facts(
            version=version,
            groups={
                group["name"]: [version["version"] for version in group["versions"]]
                for group in groups.result().document.get("groups", ())
            },
            objects={
                **{kind: future.result() for kind, future in lists.items()},
                FactKind.NAMESPACE: namespace,
            },
            denied=[each for each, may in zip(asked, allowed, strict=True) if not may],
            refusals={title: said for title, future in tried.items() if (said := future.result())},
            registry=answer.result(),
            images={image: future.result() for image, future in existing.items()},
        )


def _paths(needs: Needs) -> dict[FactKind, tuple[str, str, str]]:
    """Return paths, with the selectors of labels and fields."""
    here = f"namespaces/{needs.namespace}"
    service = f"/apis/{needs.service['apiVersion']}/{here}/inferenceservices/{name(needs.service)}"
    deployments = "/apis/apps/v1/deployments"
    running = "status.phase!=Succeeded,status.phase!=Failed"
    paths = {
        FactKind.NODES: ("/api/v1/nodes", "", ""),
        FactKind.PODS: ("/api/v1/pods", "", running),
        FactKind.STORAGE_CLASSES: ("/apis/storage.k8s.io/v1/storageclasses", "", ""),
        FactKind.KSERVE: (deployments, "control-plane=kserve-controller-manager", ""),
        FactKind.QUOTAS: (f"/api/v1/{here}/resourcequotas", "", ""),
        FactKind.CLAIM: (f"/api/v1/{here}/persistentvolumeclaims/{CLAIM}", "", ""),
        FactKind.SERVICE: (service, "", ""),
    }
    if needs.serverless:
        config = f"/api/v1/namespaces/{KNATIVE_NAMESPACE}/configmaps"
        paths[FactKind.KNATIVE] = (deployments, "app.kubernetes.io/name=knative-serving", "")
        paths[FactKind.KNATIVE_CONFIG] = (config, "", "")
    return paths


def _read(api: Api, path: str, labels: str = "", fields: str = "") -> list[Document] | None:
    """Return the objects of a list, or one object; None where they may not be read."""
    query = {"labelSelector": labels, "fieldSelector": fields}
    answer = api.get(path, **{key: value for key, value in query.items() if value})
    if answer.status == http.client.OK:
        items: list[Document] = answer.document.get("items", [answer.document])
        return items
    return None if answer.status == http.client.FORBIDDEN else []


def _allowed(api: Api, namespace: str, permission: Permission) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "verb": permission.verb,
        # A namespace itself goes by its name: a role may be for this one only.
        "namespace": namespace if permission.namespaced else "",
        "name": "" if permission.namespaced else namespace,
    }
    return _may(api, attributes)


def _may(api: Api, attributes: Document) -> bool:
    """Return whether the user may do what a review's attributes say."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer.document.get("status", {}).get("allowed"))


def _objects(needs: Needs) -> dict[str, Document]:
    """Return an object of each component to be created with `dryRun`, so that webhooks answer."""
    service = {**needs.service, "metadata": {**needs.service["metadata"], "name": _TRIED_NAME}}
    tried: dict[str, Document] = {KSERVE.title: service}
    if needs.serverless:
        tried[KNATIVE.title] = {
            "apiVersion": f"{KNATIVE.group}/{KNATIVE.version}",
            "kind": "Service",
            "metadata": {"name": _TRIED_NAME},
            "spec": {"template": {"spec": {"containers": [{"image": _TRIED_IMAGE}]}}},
        }
    return tried


def _refusal(api: Api, namespace: str, document: Document) -> str:
    """Return why an object cannot be created; empty where it can, or where nobody may try."""
    plural = f"{document['kind'].lower()}s"
    path = f"/apis/{document['apiVersion']}/namespaces/{namespace}/{plural}"
    metadata = {**document["metadata"], "namespace": namespace}
    answer = api.post(path, {**document, "metadata": metadata}, dryRun="All")
    # Other checks report a permission or an API that is missing.
    unasked = answer.status == http.client.NOT_FOUND or "cannot create resource" in answer.message
    return "" if answer.status < http.client.BAD_REQUEST or unasked else answer.message
