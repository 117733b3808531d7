"""Mode Standard: Kubernetes' own Deployment and autoscaler in place of Knative's."""

import http.client
from urllib.parse import urlsplit

import pytest
from kubernetes.dynamic import DynamicClient

from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.deployment.test_scaling import servers
from tests.platform.cluster import Namespace

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

PREDICTOR = "fastertransformer-triton-predictor"


def test_mode_standard_answers_by_the_ingress_and_rolls_out_without_room_for_two(
    deployment: Deployment, new_stack: Deploy, api: DynamicClient
) -> None:
    settings = {"serving.mode": "Standard", "replicas.max": 2, "scheduling.spareGpu": False}
    stack = new_stack({**deployment.images(), **settings})
    stack.deploy()
    assert stack.is_right()
    outputs = stack.outputs()
    # The URL and the host are all that a script needs.
    connection = http.client.HTTPConnection(urlsplit(outputs["url"]).netloc, timeout=30)
    connection.request("GET", "/v2/health/ready", headers={"Host": outputs["host"]})
    assert connection.getresponse().status == http.client.OK
    connection.close()

    cluster = Namespace(api, stack.namespace)
    spec = cluster.get("autoscaling/v2/HorizontalPodAutoscaler", PREDICTOR)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 2)
    (before,) = servers(cluster)
    stack.change({"resources.cpu": "110m"})
    report = stack.deploy()
    assert "replace" not in report.operations("inference-service")
    (after,) = servers(cluster)
    assert before["metadata"]["name"] != after["metadata"]["name"]
    strategy = cluster.get("apps/v1/Deployment", PREDICTOR)["spec"]["strategy"]
    assert strategy["type"] == "Recreate", "the old pod's GPU is the new one's"
    assert stack.is_right()
