"""The whole of what is put into the cluster once its node is ready."""

import base64
import datetime
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from local_platform.addons import certificate, knative, kserve, manifests, readiness
from local_platform.addons.apply import apply_all
from local_platform.addons.certificate import Certificate
from local_platform.addons.cluster import ClusterObjects
from local_platform.addons.debian import base_image
from local_platform.addons.images import ProgramImage, push_all
from local_platform.addons.manifests import Manifest, ObjectName
from local_platform.addons.wheels import wheels_image
from local_platform.node.configuration import PAUSE_IMAGE
from local_platform.toolchain import Toolchain

_PATIENCE_S: Final = 300.0  # Starting takes a minute on two cores, and longer beside a first build.

_SECRET: Final = ObjectName("Secret", kserve.NAMESPACE, kserve.CERTIFICATE_SECRET)


def install(toolchain: Toolchain, kubeconfig: Path, report: Callable[[str], None]) -> None:
    """Bring the parts in the cluster to what they should be, and wait until all are ready.

    Calling it again mends: what was deleted or changed comes back, what is right is left alone.

    Args:
        toolchain: The programs, and upstream's manifests.
        kubeconfig: Of an administrator of the platform's cluster.
        report: Told of every step, one line each.

    Raises:
        PlatformError: What failed, and why.
    """
    cluster = ClusterObjects(kubeconfig)
    with ThreadPoolExecutor() as pool:
        rendered = pool.submit(
            kserve.render, toolchain.tool("kubectl"), toolchain.manifests("kserve")
        )
        # Nothing in the cluster needs them, so they are made beside the rest.
        for_builds = [pool.submit(make, report) for make in (base_image, wheels_image)]
        images = push_all(_images(toolchain), report)
        objects = _objects(toolchain, images, rendered.result(), _certificate(cluster))
        report(f"applying {len(objects)} objects")
        apply_all(cluster, objects, report, time.monotonic() + _PATIENCE_S)
        report("waiting for pods and webhooks")
        readiness.wait_ready(cluster, report, time.monotonic() + _PATIENCE_S)
        for made in for_builds:
            made.result()


def status(kubeconfig: Path) -> list[readiness.PartStatus]:
    """Every part in the cluster, whether it is ready, and why not.

    Raises:
        PlatformError: The kubeconfig cannot be used.
    """
    return readiness.status(ClusterObjects(kubeconfig))


def _images(toolchain: Toolchain) -> list[ProgramImage]:
    return [
        ProgramImage(
            name="pause", program=toolchain.tool("pause"), alias=PAUSE_IMAGE.rpartition(":")[2]
        ),
        ProgramImage(name="coredns", program=toolchain.tool("coredns")),
        ProgramImage(name="traefik", program=toolchain.tool("traefik")),
        ProgramImage(name="kserve", program=toolchain.tool("manager")),
        *(
            ProgramImage(
                name=f"knative-{name}",
                program=toolchain.tool(name),
                # It asks registries for the digests that tags of served images stand for.
                certificates=name == "controller",
            )
            for name in knative.PROGRAMS
        ),
    ]


def _objects(
    toolchain: Toolchain,
    images: dict[str, str],
    rendered_kserve: list[Manifest],
    webhook: Certificate,
) -> list[Manifest]:
    named = {"COREDNS_IMAGE": images["coredns"], "TRAEFIK_IMAGE": images["traefik"]}
    programs = {name: images[f"knative-{name}"] for name in knative.PROGRAMS}
    return [
        *(one for name in ("platform", "coredns", "traefik") for one in manifests.own(name, named)),
        *knative.manifests(toolchain.manifests("knative"), programs),
        *kserve.manifests(rendered_kserve, images["kserve"], webhook),
    ]


def _certificate(cluster: ClusterObjects) -> Certificate:
    """The webhook's certificate that is in the cluster, as long as it serves."""
    now = datetime.datetime.now(datetime.UTC)
    found = cluster.get("v1", _SECRET)
    if found is not None:
        data = found.get("data") or {}
        stored = Certificate(
            certificate=base64.b64decode(data.get("tls.crt", "")),
            key=base64.b64decode(data.get("tls.key", "")),
        )
        if certificate.serves(stored, kserve.CERTIFICATE_HOST, now):
            return stored
    return certificate.make(kserve.CERTIFICATE_HOST, now)
