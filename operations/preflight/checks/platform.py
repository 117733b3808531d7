"""Checks that Kubernetes, KServe and Knative have versions that work, and run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ft_serving.cluster.documents import Document, label, name
from operations.preflight.facts import FactKind, Facts, PreflightFinding, error, warning
from operations.preflight.needs import Needs

Version = tuple[int, int]

_VERSION = re.compile(r"v?(\d+)\.(\d+)\.\d+")

KUBERNETES_LEAST: Version = (1, 32)
"""KServe 0.16 asks for it (its guide "Knative mode Installation")."""

METRICS_GROUP = "metrics.k8s.io"


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """A component of a cluster."""

    title: str
    group: str
    version: str  # The version of that API that is used.
    kind: FactKind  # Its Deployments.
    deployments: tuple[str, ...]  # The names of those that have to run.
    least: Version  # The oldest version that is known to work.
    reason: str  # Why not an older one.
    refused: bool  # Whether older ones are known not to work.
    install: str  # How to install it.


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
    """Check versions, API groups, controllers and webhooks."""
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
        if component.version in served:
            yield from _controllers(component, facts)
            yield from _refused(component, facts.refusals.get(component.title, ""))
        else:
            yield error(
                component.title,
                found=f"its API only in {', '.join(served)}" if served else "no such API",
                needed=f"{component.group}/{component.version}",
                remedy=component.install,
            )
    scaling = needs.config.scaling
    # In mode Standard a HorizontalPodAutoscaler scales, which reads them.
    if not needs.serverless and scaling.max > scaling.min and METRICS_GROUP not in facts.groups:
        yield warning(
            "Metrics of pods",
            found=f"no API {METRICS_GROUP}",
            needed="that API, to scale by cpu or memory; without it, replicas stay at replicas.min",
            remedy="Install metrics-server: https://github.com/kubernetes-sigs/metrics-server",
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
            stopped = deployment["spec"].get("replicas") == 0
            kubectl = f"kubectl --namespace {deployment['metadata']['namespace']}"
            yield error(
                f"{component.title}'s {wanted}",
                found="scaled to 0" if stopped else "no pod available",
                needed="one that runs",
                remedy=f"`{kubectl} scale deployment {wanted} --replicas 1` starts it"
                if stopped
                else f"`{kubectl} describe deployment,pods` shows why",
            )
    versions = {found for each in there.values() if (found := _release(each))}
    for version in sorted(each for each in versions if each < component.least):
        say = error if component.refused else warning
        yield say(
            component.title,
            found=_shown(version),
            needed=f"{_shown(component.least)} or newer: {component.reason}",
            remedy=component.install,
        )


def _refused(component: Component, refusal: str) -> Iterator[PreflightFinding]:
    if "failed calling webhook" in refusal:
        yield error(
            f"{component.title}'s webhook",
            found=f"no answer: {refusal}",
            needed="a webhook that accepts an object of this deployment's kind (tried with dryRun)",
            remedy=f"`kubectl get pods --all-namespaces` shows whether {component.title} runs",
        )
    # Knative's object is only a stand-in for KServe's, so a refusal of it tells nothing.
    elif refusal and component is not KNATIVE:
        yield error(
            f"{component.title}'s webhook",
            found=f"a refusal: {refusal}",
            needed="a webhook that accepts an object of this deployment's kind (tried with dryRun)",
            remedy="Correct what it names",
        )


def _release(deployment: Document) -> Version | None:
    """Return the version in a Deployment's label or image tag; digests have none."""
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
