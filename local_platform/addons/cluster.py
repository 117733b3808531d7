"""Reads and applies objects of the platform's cluster with kubectl."""

import json
import re
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local_platform.addons.manifests import Manifest
from local_platform.errors import ApiUnavailableError, ApplyError
from local_platform.settings import RUNTIME, Report

_CACHE: Final = RUNTIME / "kubectl"
_PARALLEL: Final = 8  # The API server spends most of a request waiting for etcd.
_PAUSE_S: Final = 0.5
_DEFINITION: Final = "CustomResourceDefinition"

# kubectl's words where an object itself is refused. Any other error may pass: a webhook without a
# pod behind it is an InternalError, and an API server that starts is not reached.
_REFUSED: Final = re.compile(
    r"^Error from server \((?!InternalError|ServiceUnavailable|(Server)?Timeout|TooManyRequests)"
    r'|^The \w+ "[^"]*" is invalid',
    re.MULTILINE,
)


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The platform's cluster. Threads may share it.

    Every method may raise `ApiUnavailableError`, and `ApplyError` where the API server refuses.

    Attributes:
        kubectl: The program.
        kubeconfig: An administrator's; the user's own is never read.
    """

    kubectl: Path
    kubeconfig: Path

    def ask(self, *arguments: str, given: object = None) -> str:
        """Run kubectl, with a document on its stdin where one is given; return its output."""
        options = (f"--kubeconfig={self.kubeconfig}", f"--cache-dir={_CACHE}")
        done = subprocess.run(
            [str(self.kubectl), *options, "--request-timeout=60s", *arguments],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip()
            raise (ApplyError if _REFUSED.search(said) else ApiUnavailableError)(said)
        return done.stdout

    def items(self, kind: str, *options: str) -> list[Manifest]:
        """Return the objects of a kind; options of `kubectl get` select them."""
        found: list[Manifest] = json.loads(self.ask("get", kind, *options, "--output=json"))[
            "items"
        ]
        return found

    def apply(self, manifests: Sequence[Manifest], *, dry_run: bool = False) -> None:
        """Create objects, or set our fields of them, by server-side apply; or only check them."""
        self.ask(
            "apply", "--server-side", "--force-conflicts", "--field-manager=ft-serving-platform",
            # Upstream's manifests have fields that the CRDs of its own release do not know.
            "--validate=false", *(["--dry-run=server"] if dry_run else []), "--filename=-",
            given={"apiVersion": "v1", "kind": "List", "items": manifests},
        )  # fmt: skip


def apply_all(
    cluster: Cluster,
    manifests: Iterable[Manifest],
    report: Report,
    deadline: float,
) -> None:
    """Apply objects; what is as it should be stays as it is.

    Namespaces and kinds come first, then all else at once. Objects whose webhook does not answer
    are tried again until the deadline, on the clock of `time.monotonic`: its pods may be among the
    objects, or about to start after a reboot.

    Raises:
        ApplyError: The API server refused objects; the message has all its reasons.
    """
    by_kind: dict[str, list[Manifest]] = defaultdict(list)
    for manifest in manifests:
        by_kind[manifest["kind"]].append(manifest)
    # A kind's schema is large, so that each is a request of its own.
    kinds = [[one] for one in by_kind.pop(_DEFINITION, [])]
    _apply_wave(cluster, [*kinds, by_kind.pop("Namespace", [])], report, deadline)
    if kinds:
        names = [f"crd/{one['metadata']['name']}" for (one,) in kinds]
        cluster.ask("wait", "--for=condition=Established", "--timeout=60s", *names)
    _apply_wave(cluster, list(by_kind.values()), report, deadline)


def _apply_wave(
    cluster: Cluster,
    left: list[list[Manifest]],
    report: Report,
    deadline: float,
) -> None:
    def attempt(manifests: list[Manifest]) -> ApplyError | None:
        try:
            cluster.apply(manifests)
        except ApplyError as exc:
            return exc
        return None

    waited_for = ""
    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        while left := [each for each in left if each]:
            errors = list(pool.map(attempt, left))
            left = [each for each, error in zip(left, errors, strict=True) if error]
            failed = [error for error in errors if error]
            final = not all(isinstance(error, ApiUnavailableError) for error in failed)
            if failed and (final or time.monotonic() > deadline):
                reasons = "\n".join(map(str, failed))
                raise ApplyError(f"The cluster did not take all objects:\n{reasons}")
            if failed and (first := str(failed[0])) != waited_for:
                waited_for = first
                report(f"waiting to apply objects: {first}")
            if failed:
                time.sleep(_PAUSE_S)
