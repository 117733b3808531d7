"""Makes dynamic volumes: folders of the node for claims of the platform's storage class.

A claim gets a `local` volume, whose folder kubelet gives to the pod's fsGroup; any number of pods
may share it. A claim that asks for more gets more at once, because a folder has no size: capacities
are stated, not enforced (ADR 6).
"""

import argparse
import contextlib
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity
from kubernetes.watch import Watch
from urllib3.exceptions import HTTPError

from local_platform.settings import NODE, STORAGE_CLASS, VOLUMES

Document = Mapping[str, Any]
Failures = queue.Queue[Exception]
PROVISIONER = "ft-serving.dev/shared"

_MADE_BY = "pv.kubernetes.io/provisioned-by"
_MERGE_PATCH = "application/merge-patch+json"
_DELETED = ("Released", "Delete")
_ATTEMPT_AGAIN_SECONDS = 2
_WATCH_SECONDS = 300

logger = logging.getLogger(__name__)


def local_client(kubeconfig: Path) -> ApiClient:
    """Return a client of an API server on this machine, which ignores the environment's proxies."""
    configuration = Configuration()
    configuration.proxy = None
    config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    return ApiClient(configuration)


class Provisioner:
    """Makes, grows and deletes volumes; every method may be repeated at any time.

    Claims and volumes are the API's own documents (`v1` PersistentVolumeClaim, PersistentVolume).
    """

    def __init__(self, api: CoreV1Api, folder: Path = VOLUMES) -> None:
        """Use an API server, and a folder for the volumes."""
        self._api = api
        self._folder = folder

    def claim(self, claim: Document) -> None:
        """Give a pending claim its volume, and a bound one the size that it asks for."""
        spec = claim["spec"]
        if spec.get("storageClassName") != STORAGE_CLASS:
            return
        phase = claim["status"].get("phase")
        if phase == "Pending" and "volumeName" not in spec:
            self._provision(claim)
        elif phase == "Bound":
            self._grow(claim)

    def volume(self, volume: Document) -> None:
        """Delete a volume and its files if its claim is gone and its policy is Delete."""
        meta, spec, name = volume["metadata"], volume["spec"], volume["metadata"]["name"]
        if meta.get("annotations", {}).get(_MADE_BY) != PROVISIONER:
            return
        if (volume["status"].get("phase"), spec["persistentVolumeReclaimPolicy"]) != _DELETED:
            return
        path, claim = Path(spec["local"]["path"]), spec["claimRef"]
        # A copy of a volume, or one that a user wrote, may name another's files.
        if (name, path) != (_volume_name(claim), self._path(claim)):
            logger.warning("volume %s was not made here: %s is kept", name, path)
            return
        # Renamed first: a deletion that is cut short leaves no half volume under a volume's name.
        doomed = path.with_name(f".deleting-{path.name}")
        if path.exists():
            path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        self._api.delete_persistent_volume(name=name)
        logger.info("deleted %s", path)

    def _provision(self, claim: Document) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        path = self._path(meta)
        path.mkdir(parents=True, exist_ok=True)
        # Root's, like a fresh file system; kubelet gives it to the fsGroup of the first pod.
        path.chmod(0o770)
        here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
        body: Any = {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": _volume_name(meta), "annotations": {_MADE_BY: PROVISIONER}},
            "spec": {
                "capacity": {"storage": spec["resources"]["requests"]["storage"]},
                "accessModes": spec["accessModes"],
                "storageClassName": STORAGE_CLASS,
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {
                    "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                    "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
                },
                "local": {"path": str(path)},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
            },
        }  # fmt: skip
        # A conflict means that an earlier attempt made it.
        with _passing_over(HTTPStatus.CONFLICT):
            self._api.create_persistent_volume(body=body)
            logger.info("made %s for %s/%s", path, meta["namespace"], meta["name"])

    def _path(self, claim: Document) -> Path:
        return self._folder / f"{claim['namespace']}-{claim['name']}-{claim['uid'][:8]}"

    def _grow(self, claim: Document) -> None:
        meta, spec = claim["metadata"], claim["spec"]
        wanted = spec["resources"]["requests"]["storage"]
        if parse_quantity(wanted) <= parse_quantity(claim["status"]["capacity"]["storage"]):
            return
        capacity = {"capacity": {"storage": wanted}}
        self._api.patch_persistent_volume(
            name=spec["volumeName"], body={"spec": capacity}, _content_type=_MERGE_PATCH
        )
        self._api.patch_namespaced_persistent_volume_claim_status(
            meta["name"], meta["namespace"], {"status": {**capacity, "conditions": None}},
            _content_type=_MERGE_PATCH,
        )  # fmt: skip
        logger.info("grew %s/%s to %s", meta["namespace"], meta["name"], wanted)


def _volume_name(claim: Document) -> str:
    return f"pvc-{claim['uid']}"


@contextlib.contextmanager
def _passing_over(*statuses: HTTPStatus) -> Iterator[None]:
    try:
        yield
    except ApiException as exc:
        if exc.status not in statuses:
            raise


def follow(
    listing: Callable[..., object], handle: Callable[[Document], None], failed: Failures
) -> None:
    """Hand every object of a kind to `handle`: those that exist, then each that changes.

    An error of the API server makes the listing begin anew; any other one goes to `failed`.
    """
    while True:
        try:
            # Version 0 begins with an event for every object that the API server remembers. Without
            # a version it would first wait for its memory to be as new as etcd, of which it learns
            # by notices that Debian's etcd 3.4 does not send: it fails after other kinds change.
            since = {"resource_version": "0", "timeout_seconds": _WATCH_SECONDS}
            for event in Watch().stream(listing, **since):
                if event["type"] != "DELETED":
                    # After a conflict the newer version has an event of its own; an object that is
                    # gone needs nothing.
                    with _passing_over(HTTPStatus.CONFLICT, HTTPStatus.NOT_FOUND):
                        handle(event["raw_object"])
        except (ApiException, HTTPError) as exc:
            logger.warning("again in %d s: %s", _ATTEMPT_AGAIN_SECONDS, str(exc).splitlines()[0])
            time.sleep(_ATTEMPT_AGAIN_SECONDS)
        except Exception as exc:  # noqa: BLE001 - raised again by the process's main thread
            failed.put(exc)
            return


def main() -> None:
    """Run until the supervisor ends it."""
    parser = argparse.ArgumentParser(prog="python -m local_platform.node.volumes")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    kubeconfig = parser.parse_args().kubeconfig
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    api = CoreV1Api(local_client(kubeconfig))
    provisioner = Provisioner(api)
    claims, volumes = (
        api.list_persistent_volume_claim_for_all_namespaces,
        api.list_persistent_volume,
    )
    failed: Failures = queue.Queue()
    for listing, handle in ((claims, provisioner.claim), (volumes, provisioner.volume)):
        threading.Thread(target=follow, args=(listing, handle, failed), daemon=True).start()
    raise failed.get()


if __name__ == "__main__":
    main()
