"""Reads facts of a cluster. Importing this needs the extra `cluster`."""

import http.client
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from components.storage import CLAIM
from ft_serving.cluster.api import Api
from ft_serving.cluster.documents import Document, name
from operations.preflight.checks.knative import NAMESPACE as KNATIVE_NAMESPACE
from operations.preflight.checks.platform import KNATIVE, KSERVE
from operations.preflight.facts import FactKind, Facts
from operations.preflight.needs import Needs, Permission, permissions
from operations.preflight.registry import ask_image, ask_registry

# As many as the Kubernetes client keeps connections, on a machine of two cores.
_AT_ONCE = 10
_TRIED_NAME = "ft-serving-preflight"
_TRIED_IMAGE = f"registry.invalid/preflight@sha256:{'0' * 64}"


def read_facts(needs: Needs, *, kubeconfig: str | None, context: str | None) -> Facts:
    """Ask a cluster and registries what there is, all at once; nothing is changed.

    Args:
        needs: What will be checked: only that is asked for.
        kubeconfig: Path of the kubeconfig; by default KUBECONFIG or ~/.kube/config.
        context: A context of it; by default its current one.

    Raises:
        ClusterUnavailableError: There is no such cluster, or no answer.
        ClusterRefusalError: The API server does not accept who asks.
    """
    settings = ("cluster.kubeconfig or KUBECONFIG", "cluster.context")
    api = Api.of_kubeconfig(kubeconfig, context, settings=settings)
    version = str(api.get("/version").document.get("gitVersion", "unknown"))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        groups = pool.submit(_groups, api)
        # The namespace decides what can be tried in it, and what may be asked of it.
        namespace = _read(api, f"/api/v1/namespaces/{needs.namespace}")
        made = bool(namespace)
        stays = any("deletionTimestamp" not in each["metadata"] for each in namespace or ())
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
        asked = _asked(needs, made=made)
        allowed = pool.map(partial(_allowed, api, needs.namespace), asked)
        return Facts(
            version=version,
            groups=groups.result(),
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
    """Paths, with the selectors of labels and fields."""
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
    """The objects of a list, or one object; None where they may not be read."""
    query = {"labelSelector": labels, "fieldSelector": fields}
    answer = api.get(path, **{key: value for key, value in query.items() if value})
    if answer.status == http.client.OK:
        items: list[Document] = answer.document.get("items", [answer.document])
        return items
    return None if answer.status == http.client.FORBIDDEN else []


def _groups(api: Api) -> dict[str, list[str]]:
    return {
        group["name"]: [version["version"] for version in group["versions"]]
        for group in api.get("/apis").document.get("groups", ())
    }


def _asked(needs: Needs, *, made: bool) -> list[Permission]:
    """A namespace that is there need not be created."""
    creation = Permission(group="", resource="namespaces", verb="create", namespaced=False)
    return [each for each in permissions(needs.config) if not (made and each == creation)]


def _allowed(api: Api, namespace: str, permission: Permission) -> bool:
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "verb": permission.verb,
        # Of a namespace itself, the name: a role may be for one alone.
        "namespace": namespace if permission.namespaced else "",
        "name": "" if permission.namespaced else namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = api.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer.document.get("status", {}).get("allowed"))


def _objects(needs: Needs) -> dict[str, Document]:
    """What is only tried, so that webhooks answer: an object of each component."""
    service = {**needs.service, "metadata": {**needs.service["metadata"], "name": _TRIED_NAME}}
    pod = {"containers": [{"image": _TRIED_IMAGE}]}
    knative = {
        "apiVersion": f"{KNATIVE.group}/{KNATIVE.version}",
        "kind": "Service",
        "metadata": {"name": _TRIED_NAME},
        "spec": {"template": {"spec": pod}},
    }
    tried: dict[str, Document] = {KSERVE.title: service}
    if needs.serverless:
        tried[KNATIVE.title] = knative
    return tried


def _refusal(api: Api, namespace: str, document: Document) -> str:
    """What is said against creating an object; empty where nothing is, or nobody may ask."""
    plural = f"{document['kind'].lower()}s"
    path = f"/apis/{document['apiVersion']}/namespaces/{namespace}/{plural}"
    metadata = {**document["metadata"], "namespace": namespace}
    answer = api.post(path, {**document, "metadata": metadata}, dryRun="All")
    # Without the permission, or the API, others say what is missing.
    unasked = answer.status == http.client.NOT_FOUND or "cannot create resource" in answer.message
    return "" if answer.status < http.client.BAD_REQUEST or unasked else answer.message
