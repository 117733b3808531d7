"""Reads and changes the platform's cluster with kubectl, as a user would."""

import json
import os
import subprocess
from typing import Any

from local_platform import environment

Object = dict[str, Any]


class Namespace:
    """A namespace of the cluster."""

    def __init__(self, name: str) -> None:
        self.name = name

    def kubectl(self, *arguments: str, manifest: Object | None = None) -> str:
        """Run kubectl in the namespace and return its answer.

        Raises:
            subprocess.CalledProcessError: kubectl failed.
        """
        variables = environment.variables()
        path = os.pathsep.join((str(environment.BIN), os.environ["PATH"]))
        return subprocess.run(
            ["kubectl", "--namespace", self.name, *arguments],
            env={**os.environ, "KUBECONFIG": variables["KUBECONFIG"], "PATH": path},
            input=json.dumps(manifest) if manifest else None,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def find(self, kind: str, name: str) -> Object | None:
        """Return an object, or None."""
        text = self.kubectl("get", kind, name, "--output=json", "--ignore-not-found")
        return json.loads(text) if text else None

    def get(self, kind: str, name: str) -> Object:
        """Return an object that exists."""
        found = self.find(kind, name)
        assert found is not None, f"{kind} {name} is gone"
        return found

    def patch(self, kind: str, name: str, change: Object, *more: str) -> None:
        """Change an object by a merge patch."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps(change)}", *more)
