"""Objects for the cluster; their containers have the rights of the project's own images."""

from typing import Any

from local_platform.settings import STORAGE_CLASS

Document = dict[str, Any]

MOUNT = "/data"

LOCKED_DOWN: Document = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


SCRATCH_MOUNTS: list[Document] = [
    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - in the container
    {"name": "memory", "mountPath": "/dev/shm"},  # noqa: S108
]
"""The folders to which the project's images write, for a container; `SCRATCH` is for its pod."""

SCRATCH: list[Document] = [
    {"name": "tmp", "emptyDir": {}},
    {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
]


def container(image: str, *command: str, **more: Any) -> Document:
    """Return a container without rights."""
    return {
        "name": "main",
        "image": image,
        "securityContext": LOCKED_DOWN,
        **({"command": list(command)} if command else {}),
        **more,
    }


def pod(name: str, container: Document, *, claim: str | None = None) -> Document:
    """Return a pod that is not restarted; a claim is mounted at `MOUNT` and given to its group."""
    spec: Document = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"fsGroup": 1000},
        "containers": [container],
    }
    if claim is not None:
        container["volumeMounts"] = [{"name": "data", "mountPath": MOUNT}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    made = _named("v1", "Pod", name, spec)
    made["metadata"]["labels"] = {"app": name}
    return made


def python(image: str, program: str) -> Document:
    """Return a container that runs a program in Python."""
    return container(image, "python3", "-u", "-c", program)


def web_server(image: str, answer: str) -> Document:
    """Return a container that gives every request on port 8080 the same answer."""
    # Without a handler the first process of a container ignores SIGTERM, and Knative is patient.
    program = f"""
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

signal.signal(signal.SIGTERM, lambda *_: sys.exit())

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write({answer.encode()!r})

HTTPServer(("", 8080), Handler).serve_forever()
"""
    return python(image, program) | {"ports": [{"containerPort": 8080}]}


def claim(name: str, size: str = "1Gi") -> Document:
    """Return a claim of the platform's storage class."""
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": STORAGE_CLASS,
        "resources": {"requests": {"storage": size}},
    }
    return _named("v1", "PersistentVolumeClaim", name, spec)


def service(name: str) -> Document:
    """Return a service on port 80 in front of the web server in the pod of the same name."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return _named("v1", "Service", name, spec)


def knative_service(name: str, container: Document) -> Document:
    """Return a Knative service, which is scaled to zero when nobody asks."""
    spec = {"template": {"spec": {"containers": [container]}}}
    return _named("serving.knative.dev/v1", "Service", name, spec)


def _named(version: str, kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
