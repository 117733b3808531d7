"""Installs the add-ons in the cluster once its node is ready."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from local_platform.addons import knative, kserve, manifests, readiness
from local_platform.addons.cluster import Cluster, apply_all
from local_platform.addons.debian import base_image
from local_platform.addons.images import ProgramImage, push_all
from local_platform.addons.manifests import Manifest
from local_platform.addons.wheels import wheels_image
from local_platform.node.configuration import PAUSE_IMAGE
from local_platform.settings import Report
from local_platform.toolchain import Toolchain

_PATIENCE_S: Final = 300.0  # Starting takes a minute on two cores, and longer beside a first build.


def install(toolchain: Toolchain, kubeconfig: Path, report: Report) -> None:
    """Bring the parts in the cluster to what they should be, and wait until all are ready.

    Another call restores what was deleted or changed, and does not touch the rest. The kubeconfig
    is an administrator's.

    Raises:
        PlatformError: What failed, and why.
    """
    cluster = Cluster(kubectl=toolchain.tool("kubectl"), kubeconfig=kubeconfig)
    with ThreadPoolExecutor() as pool:
        rendered = pool.submit(kserve.render, cluster.kubectl, toolchain.manifests("kserve"))
        # Nothing in the cluster needs them, so they are made beside the rest.
        for_builds = [pool.submit(make, report) for make in (base_image, wheels_image)]
        images = push_all(_images(toolchain), report)
        objects = _objects(toolchain, images, rendered.result())
        report(f"applying {len(objects)} objects")
        apply_all(cluster, objects, report, time.monotonic() + _PATIENCE_S)
        report("waiting for pods and webhooks")
        readiness.wait_ready(cluster, report, time.monotonic() + _PATIENCE_S)
        for made in for_builds:
            made.result()


def status(toolchain: Toolchain, kubeconfig: Path) -> dict[str, str]:
    """Return the reason why each part in the cluster is not ready, or "" if it is."""
    return readiness.status(Cluster(kubectl=toolchain.tool("kubectl"), kubeconfig=kubeconfig))


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
                # It asks registries for the digests of the tags of served images.
                certificates=name == "controller",
            )
            for name in knative.PROGRAMS
        ),
    ]


def _objects(
    toolchain: Toolchain, images: dict[str, str], rendered_kserve: list[Manifest]
) -> list[Manifest]:
    named = {"COREDNS_IMAGE": images["coredns"], "TRAEFIK_IMAGE": images["traefik"]}
    programs = {name: images[f"knative-{name}"] for name in knative.PROGRAMS}
    return [
        *(one for name in ("platform", "coredns", "traefik") for one in manifests.own(name, named)),
        *knative.manifests(toolchain.manifests("knative"), programs),
        *kserve.manifests(rendered_kserve, images["kserve"]),
    ]
