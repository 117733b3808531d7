"""Previews of a deployed stack by Pulumi: settings change what they have to, and nothing else."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.deployment.program import Deployment
from tests.pulumi_cli import Report

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

Changes = frozenset[tuple[str, str, frozenset[str]]]
"""Resources: each by its name, what is done with it, and the paths where it differs."""


def changes(report: Report) -> Changes:
    """Return what was done, each resource once; what is read is not changed."""
    ignored = {"same", "read", "create-replacement", "delete-replaced"}
    return frozenset(
        (step.name, step.operation, frozenset(named(path, step.inputs) for path in step.paths))
        for step in report.steps
        if step.operation not in ignored
    )


def named(path: str, inputs: Mapping[str, Any]) -> str:
    """Return a path, with the option's name in place of an argument's index."""
    found = re.fullmatch(r"(.*args)\[(\d+)\]", path)
    if not found:
        return path
    spec = inputs["spec"]
    (container,) = (spec.get("predictor") or spec["template"]["spec"])["containers"]
    return f"{found[1]} {container['args'][int(found[2])].partition('=')[0]}"


PREDICTOR, API, POD = "spec.predictor", "spec.transformer", "spec.template.spec"
CONTAINER, ARGS = f"{PREDICTOR}.containers[0]", f"{POD}.containers[0].args"
TOLD = 'metadata.annotations["ft-serving.dev/{}"]'
INGRESS = "namespaceSelector.matchExpressions[0].values"
PLACED = (f"{POD}.affinity", f"{POD}.tolerations")


def serve(*paths: str, asked: tuple[str, ...] = ()) -> Changes:
    """The service changes in place, and is tested anew."""
    return frozenset(
        {
            ("inference-service", "update", frozenset(paths)),
            ("smoke-test", "replace", frozenset({"metadata.name", *asked})),
        }
    )


def prepare(download: set[str], collection: set[str]) -> Changes:
    """The Jobs of releases run again. A preview does not know the uid that the gate is named by."""
    return frozenset(
        {
            ("model-download", "replace", frozenset(download)),
            ("model-download-gate", "replace", frozenset()),
            ("release-collection", "replace", frozenset(collection)),
        }
    )


PREVIEWS: Mapping[str, tuple[dict[str, Any], Changes]] = {
    "how it is served, and what is around it": (
        {
            "replicas.max": 3,
            "serving.batch": 4,
            "serving.public": False,
            "resources.memory": "1Gi",
            "storage.size": "2Gi",
            "storage.keepReleases": 3,
            # No property of a resource.
            "storage.protect": True,
            "cluster.ingressNamespaces": ["knative-serving"],
        },
        serve(
            'metadata.labels["networking.knative.dev/visibility"]',
            f"{PREDICTOR}.maxReplicas",
            f"{PREDICTOR}.scaleTarget",
            f"{API}.maxReplicas",
            f"{API}.scaleTarget",
            f"{PREDICTOR}.containerConcurrency",
            f"{CONTAINER}.resources.limits.memory",
            f"{CONTAINER}.resources.requests.memory",
        )
        | {
            ("storage", "update", frozenset({"spec.resources.requests.storage"})),
            ("release-collection", "replace", frozenset({"metadata.name", f"{ARGS} --newest"})),
            *(
                (
                    f"access-{part}",
                    "update",
                    frozenset(f"{at}.{INGRESS}[{n}]" for at in places for n in range(6)),
                )
                for part, *places in (
                    ("gate", "spec.egress[2].to[0]"),
                    ("server", "spec.ingress[0].from[0]"),
                    ("openai", "spec.ingress[0].from[0]", "spec.egress[1].to[0]"),
                )
            ),
        },
    ),
    "which release, and where it runs": (
        {
            "model.revision": "f" * 40,
            "model.dtype": "fp16",
            "gpu.tensorParallel": 2,
            "scheduling.region": "LAS1",
            "scheduling.tolerations": [{"key": "spot"}],
            # The same size changes nothing.
            "storage.size": "1024Mi",
        },
        serve(
            f"{CONTAINER}.args --model-repository",
            # Its tokenizer is the release's.
            f"{API}.containers[0].command[2]",
            f"{PREDICTOR}.affinity",
            f"{PREDICTOR}.tolerations",
            f"{API}.affinity",
            f"{API}.tolerations",
            asked=(f"{ARGS} --tokenizer", *PLACED),
        )
        | prepare(
            {
                "metadata.name",
                *map(
                    TOLD.format, ("release", "model", "dtype", "compute-dtype", "tensor-parallel")
                ),
                *(
                    f"{ARGS} --{option}"
                    for option in ("revision", "dtype", "compute-dtype", "tensor-parallel")
                ),
                *PLACED,
            },
            {"metadata.name", f"{ARGS} --keep", *PLACED},
        ),
    ),
}


@pytest.mark.parametrize(("settings", "expected"), PREVIEWS.values(), ids=PREVIEWS)
def test_a_preview_shows_what_settings_change_and_nothing_else(
    deployment: Deployment, settings: dict[str, Any], expected: Changes
) -> None:
    with deployment.changed(settings):
        report = deployment.preview()
    assert report.succeeded, report.messages
    assert changes(report) == expected
