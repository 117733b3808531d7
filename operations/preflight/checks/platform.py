"""Kubernetes, KServe and Knative: there, of a version that works, and running."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ft_serving.cluster.documents import Document, label, name
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs

Version = tuple[int, int]

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.\d+")

KUBERNETES_LEAST: Version = (1, 32)
"""What KServe 0.16 asks for (its guide "Knative mode Installation")."""


METRICS_GROUP = "metrics.k8s.io"


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """Something installed in a cluster.

    Attributes:
        title: Its name.
        group: Its API group.
        version: The version of that API that is used.
        kind: Where its Deployments are read.
        deployments: Those of them that have to run.
        least: The oldest version that is known to work.
        reason: Why older ones are not.
        refused: Whether older ones are known not to.
        install: How it is had.
    """

    title: str
    group: str
    version: str
    kind: FactKind
    deployments: tuple[str, ...]
    least: Version
    reason: str
    refused: bool
    install: str


KSERVE = Component(
    title="KServe",
    group="serving.kserve.io",
    version="v1beta1",
    kind=FactKind.KSERVE,
    deployments=("kserve-controller-manager",),
    least=(0, 16),
    reason="older ones do not know the deployment modes Knative and Standard",
    refused=True,
    install="Install KServe 0.17: https://kserve.github.io/website/docs/admin-guide/overview",
)
KNATIVE = Component(
    title="Knative Serving",
    group="serving.knative.dev",
    version="v1",
    kind=FactKind.KNATIVE,
    deployments=("activator", "autoscaler", "controller", "webhook"),
    least=(1, 17),
    reason="what KServe's guide recommends for Kubernetes 1.32",
    refused=False,
    install="Install Knative Serving (https://knative.dev/docs/install), or set serving.mode: "
    "Standard",
)


def platform(needs: Needs, facts: Facts) -> Iterator[PreflightFinding]:
    """Versions, API groups, controllers, and webhooks that answer."""
    found = _version(facts.version)
    if found is not None and found < KUBERNETES_LEAST:
        yield warning(
            "Kubernetes",
            found=facts.version,
            needed=f"{_shown(KUBERNETES_LEAST)} or newer, which KServe 0.16 asks for",
            remedy="Upgrade the cluster",
        )
    for component in (KSERVE, KNATIVE) if needs.serverless else (KSERVE,):
        served = facts.groups.get(component.group, ())
        if component.version not in served:
            yield _missing(component, served)
            continue
        yield from _controllers(component, facts)
        yield from _refused(component, facts.refusals.get(component.title, ""))
    scaling = needs.config.scaling
    if not needs.serverless and scaling.max > scaling.min:
        yield from _metrics(facts)


def _metrics(facts: Facts) -> Iterator[PreflightFinding]:
    """A HorizontalPodAutoscaler, which scales in mode Standard, asks for them."""
    if METRICS_GROUP not in facts.groups:
        yield warning(
            "Metrics of pods",
            found=f"no API {METRICS_GROUP}",
            needed="it, to scale by cpu or memory: replicas stay at replicas.min",
            remedy="Install metrics-server: https://github.com/kubernetes-sigs/metrics-server",
        )


def _missing(component: Component, served: object) -> PreflightFinding:
    versions = ", ".join(served) if isinstance(served, (list, tuple)) else ""
    return error(
        component.title,
        found=f"its API in {versions} alone" if versions else "no such API",
        needed=f"{component.group}/{component.version}",
        remedy=component.install,
    )


def _controllers(component: Component, facts: Facts) -> Iterator[PreflightFinding]:
    if facts.objects.get(component.kind) is None:
        return
    there = {name(each): each for each in facts.all(component.kind)}
    for wanted in component.deployments:
        deployment = there.get(wanted)
        if deployment is None:
            yield warning(
                f"{component.title}'s {wanted}",
                found="no Deployment of that name with the labels of a release",
                needed="one that runs",
                remedy="If it was installed in another way, let it be; if not: "
                + component.install,
            )
        elif not deployment.get("status", {}).get("availableReplicas"):
            yield _not_running(component, deployment)
    versions = {_release(each) for each in there.values()} - {None}
    for version in sorted(each for each in versions if each is not None):
        if version < component.least:
            say = error if component.refused else warning
            yield say(
                component.title,
                found=_shown(version),
                needed=f"{_shown(component.least)} or newer: {component.reason}",
                remedy=component.install,
            )


def _not_running(component: Component, deployment: Document) -> PreflightFinding:
    where = f"--namespace {deployment['metadata']['namespace']}"
    stopped = deployment["spec"].get("replicas") == 0
    start = f"`kubectl {where} scale deployment {name(deployment)} --replicas 1` starts it"
    look = f"`kubectl {where} describe deployment,pods` shows why"
    return error(
        f"{component.title}'s {name(deployment)}",
        found="it scaled to 0" if stopped else "no pod of it available",
        needed="one that runs",
        remedy=start if stopped else look,
    )


def _refused(component: Component, refusal: str) -> Iterator[PreflightFinding]:
    answered = "failed calling webhook" not in refusal
    # What Knative is asked about stands for what KServe will make: that it answers is enough.
    if not refusal or (answered and component is KNATIVE):
        return
    yield error(
        f"{component.title}'s webhook",
        found=f"a refusal: {refusal}" if answered else f"no answer: {refusal}",
        needed="that it takes an object of this deployment's kind, which was only tried",
        remedy="Mend what it names"
        if answered
        else f"`kubectl get pods --all-namespaces` shows whether {component.title} runs",
    )


def _release(deployment: Document) -> Version | None:
    """The version that a Deployment's label or image tells; images by digest tell none."""
    pod = deployment["spec"]["template"]["spec"]
    images = [container["image"] for container in pod["containers"]]
    tags = [image.rpartition(":")[2] for image in images if "@" not in image]
    told = [label(deployment, "app.kubernetes.io/version"), *tags]
    return next((found for each in told if (found := _version(each))), None)


def _version(text: str) -> Version | None:
    match = _VERSION.match(text)
    return (int(match[1]), int(match[2])) if match else None


def _shown(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
