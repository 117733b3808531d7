"""Dynamic volumes: folders of the node for claims of the platform's storage class.

A provisioner as 'Dynamic Volume Provisioning' describes one, for one node: a claim gets a `local`
volume, whose folder kubelet gives to the pod's fsGroup; any number of pods may share it. A claim
that asks for more gets more at once, since a folder has no size: capacities are stated, not
enforced. The provisioners of the Kubernetes project need CSI drivers that no module proxy serves.
"""

import argparse
import logging
import os
import queue
import shutil
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

from kubernetes import client, config, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.utils.quantity import parse_quantity
from urllib3.exceptions import HTTPError

from local_platform.settings import NODE, STORAGE_CLASS, VOLUMES

PROVISIONER = "ft-serving.dev/shared"

_ATTEMPT_AGAIN_SECONDS = 2
_WATCH_SECONDS = 300

logger = logging.getLogger(__name__)


class Provisioner:
    """Makes, grows and deletes volumes; every method may be repeated at any time."""

    def __init__(self, api: client.CoreV1Api, folder: Path = VOLUMES) -> None:
        """Use the API server behind `api`, and `folder` for the volumes."""
        self._api = api
        self._folder = folder

    def claim(self, claim: Any) -> None:
        """Give a pending claim its volume, and a bound one the size that it asks for."""
        if claim.spec.storage_class_name != STORAGE_CLASS or claim.metadata.deletion_timestamp:
            return
        if claim.status.phase == "Pending" and not claim.spec.volume_name:
            self._provision(claim)
        elif claim.status.phase == "Bound":
            self._grow(claim)

    def volume(self, volume: Any) -> None:
        """Delete a volume whose claim is gone, with its files, where its policy says so."""
        made_here = (volume.metadata.annotations or {}).get("pv.kubernetes.io/provisioned-by")
        if (
            made_here != PROVISIONER
            or volume.status.phase != "Released"
            or volume.spec.persistent_volume_reclaim_policy != "Delete"
        ):
            return
        path = Path(volume.spec.local.path)
        if path.parent != self._folder:
            raise ValueError(f"{path} of volume {volume.metadata.name} is not in {self._folder}")
        # Renamed first: a deletion that is cut short leaves no half volume under a volume's name.
        doomed = path.with_name(f".deleting-{path.name}")
        if path.exists():
            path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
        self._api.delete_persistent_volume(volume.metadata.name)
        logger.info("deleted %s", path)

    def _provision(self, claim: Any) -> None:
        meta = claim.metadata
        name = f"pvc-{meta.uid}"
        path = self._folder / f"{meta.namespace}-{meta.name}-{meta.uid[:8]}"
        path.mkdir(parents=True, exist_ok=True)
        # Root's, like a fresh file system; kubelet gives it to the pod's fsGroup at the first mount.
        path.chmod(0o770)
        body = {
            "metadata": {
                "name": name,
                "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
            },
            "spec": {
                "capacity": {"storage": claim.spec.resources.requests["storage"]},
                "accessModes": claim.spec.access_modes,
                "volumeMode": "Filesystem",
                "storageClassName": STORAGE_CLASS,
                "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": meta.namespace,
                    "name": meta.name,
                    "uid": meta.uid,
                },
                "local": {"path": str(path)},
                "nodeAffinity": {
                    "required": {
                        "nodeSelectorTerms": [
                            {
                                "matchExpressions": [
                                    {
                                        "key": "kubernetes.io/hostname",
                                        "operator": "In",
                                        "values": [NODE],
                                    }
                                ]
                            }
                        ]
                    }
                },
            },
        }
        try:
            self._api.create_persistent_volume(body)
        except ApiException as exc:
            if exc.status != 409:  # There already, from an attempt before this one.
                raise
            return
        logger.info("made %s for %s/%s", path, meta.namespace, meta.name)

    def _grow(self, claim: Any) -> None:
        wanted = claim.spec.resources.requests["storage"]
        if _quantity(wanted) <= _quantity((claim.status.capacity or {}).get("storage", "0")):
            return
        capacity = {"capacity": {"storage": wanted}}
        self._api.patch_persistent_volume(claim.spec.volume_name, {"spec": capacity})
        self._api.patch_namespaced_persistent_volume_claim_status(
            claim.metadata.name,
            claim.metadata.namespace,
            {"status": {**capacity, "conditions": []}},
        )
        logger.info("grew %s/%s to %s", claim.metadata.namespace, claim.metadata.name, wanted)


def _quantity(text: str) -> Decimal:
    return parse_quantity(text)  # type: ignore[no-any-return]  # the library is untyped


def run(api: client.CoreV1Api, failed: "queue.Queue[BaseException]") -> None:
    """Follow claims and volumes in two threads; what ends one of them lands in `failed`."""
    provisioner = Provisioner(api)
    for listing, handle in (
        (api.list_persistent_volume_claim_for_all_namespaces, provisioner.claim),
        (api.list_persistent_volume, provisioner.volume),
    ):
        threading.Thread(target=_follow, args=(listing, handle, failed), daemon=True).start()


def _follow(listing: Any, handle: Any, failed: "queue.Queue[BaseException]") -> None:
    try:
        while True:
            try:
                # Without a version the watch begins with an event for every object there is.
                for event in watch.Watch().stream(listing, timeout_seconds=_WATCH_SECONDS):
                    _attempt(handle, event["object"])
            except (ApiException, HTTPError) as exc:
                logger.warning("the API server does not answer: %s", exc)
                threading.Event().wait(_ATTEMPT_AGAIN_SECONDS)
    except BaseException as exc:  # noqa: BLE001 - the process ends with it, in the main thread
        failed.put(exc)


def _attempt(handle: Any, item: Any) -> None:
    try:
        handle(item)
    except ApiException as exc:
        if exc.status == 409:  # A newer version of it has an event of its own.
            return
        logger.warning("%s: %s %s", item.metadata.name, exc.status, exc.reason)
        raise  # The watch begins anew, and with it this object.


def main() -> None:
    """Run until the supervisor ends it."""
    parser = argparse.ArgumentParser(prog="python -m local_platform.node.volumes")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.umask(0o007)
    config.load_kube_config(str(arguments.kubeconfig))
    failed: queue.Queue[BaseException] = queue.Queue()
    run(client.CoreV1Api(), failed)
    raise failed.get()


if __name__ == "__main__":
    main()
