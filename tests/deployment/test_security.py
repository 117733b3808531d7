"""What the pods of a deployed stack may do, and who may talk to them.

One stack is up for all of it. The platform's network enforces no policies: they are evaluated for
the pods that run, and for the ports that they listen on.
"""

import json
import secrets
from functools import partial
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient
from kubernetes.dynamic.exceptions import ForbiddenError

from local_platform.settings import HUB_URL, KUBECONFIG, NAMESPACE
from tests.deployment.network import Network, ports
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.platform.ingress import UNKNOWN_HOST, ask
from tests.platform.manifests import SCRATCH, SCRATCH_MOUNTS, container, pod
from tests.platform.waiting import wait_until
from tests.policy import token_proxy
from tests.policy.flows import Peer

pytestmark = [pytest.mark.platform, pytest.mark.slow]

PART = "app.kubernetes.io/component"
KNATIVE = "knative-serving"
NODE = Peer(name="a node, or an address outside")
READ = frozenset({"get", "list", "watch"})
READABLE = {
    ("", "events"), ("", "persistentvolumeclaims"), ("", "pods"), ("", "pods/log"),
    ("apps", "deployments"), ("apps", "replicasets"), ("batch", "jobs"),
    ("serving.knative.dev", "revisions"), ("serving.knative.dev", "services"),
    ("serving.kserve.io", "inferenceservices"),
}  # fmt: skip

Document = dict[str, Any]


@pytest.fixture(scope="module")
def pods(cluster: Namespace) -> dict[str, Document]:
    """A pod of each part of the stack, that of the last Job where there are several."""
    return {it["metadata"]["labels"][PART]: it for it in cluster.items("v1/Pod", PART)}


@pytest.fixture(scope="module")
def labels_of(api: DynamicClient) -> dict[str, Document]:
    """The labels of each namespace."""
    found = api.resources.get(api_version="v1", kind="Namespace").get().to_dict()["items"]
    return {it["metadata"]["name"]: it["metadata"]["labels"] for it in found}


@pytest.fixture(scope="module")
def policies(cluster: Namespace) -> list[Document]:
    return cluster.items("networking.k8s.io/v1/NetworkPolicy")


def test_the_pods_of_a_deployment_are_all_admitted_as_restricted(
    api: DynamicClient, deployment: Deployment, labels_of: dict[str, Document], pods: Document
) -> None:
    enforce = "pod-security.kubernetes.io/enforce"
    assert labels_of[deployment.namespace][enforce] == "restricted"
    assert set(pods) == {"weights", "gate", "server"}
    assert {it["status"]["phase"] for it in pods.values()} <= {"Running", "Succeeded"}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "runAsNonRoot"),
        ({"hostNetwork": True}, "hostNetwork"),
        ({"volumes": [{"name": "node", "hostPath": {"path": "/"}}]}, "hostPath"),
    ],
)
def test_a_plain_pod_is_refused(
    api: DynamicClient, deployment: Deployment, spec: Document, reason: str
) -> None:
    plain = {
        "metadata": {"generateName": "plain-"},
        "spec": {
            "containers": [{"name": "plain", "image": "registry.example.com/plain:1"}],
            **spec,
        },
    }
    with pytest.raises(ForbiddenError) as caught:
        api.resources.get(api_version="v1", kind="Pod").create(
            namespace=deployment.namespace, body=plain
        )
    message = json.loads(str(caught.value.body))["message"]
    assert 'violates PodSecurity "restricted' in message
    assert reason in message


def test_only_the_gate_has_a_token(cluster: Namespace) -> None:
    with_token = {
        found["metadata"]["labels"][PART]
        for found in cluster.items("v1/Pod", PART)
        for volume in found["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    }
    assert with_token == {"gate"}
    kinds = {it["type"] for it in cluster.items("v1/Secret")}
    assert "kubernetes.io/service-account-token" not in kinds, "such a token never expires"


def test_what_runs_in_containers_that_others_add_is_restricted_too(pods: Document) -> None:
    """Knative's queue-proxy is beside the server, with a security context of Knative's."""
    added = [it for it in pods["server"]["spec"]["containers"] if it["name"] == "queue-proxy"]
    assert added, "another mode of Knative's would be another test"
    for each in added:
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["runAsNonRoot"] is True


def rights(namespace: str, account: str) -> set[tuple[str, str, str, str]]:
    """What a service account may do in a namespace: group, resource, name and verb."""
    asker = config.new_client_from_config(str(KUBECONFIG))
    asker.set_default_header("Impersonate-User", f"system:serviceaccount:{namespace}:{account}")
    answer = client.AuthorizationV1Api(asker).create_self_subject_rules_review(
        client.V1SelfSubjectRulesReview(
            spec=client.V1SelfSubjectRulesReviewSpec(namespace=namespace)
        )
    )
    assert answer.status is not None
    assert not answer.status.incomplete
    return {
        (group, resource, name, verb)
        for rule in answer.status.resource_rules
        for group in rule.api_groups or ()
        for resource in rule.resources or ()
        for name in rule.resource_names or ("",)
        for verb in rule.verbs
    }


def test_service_accounts_may_do_what_is_listed_and_nothing_else(deployment: Deployment) -> None:
    of = partial(rights, deployment.namespace)
    # Every account may ask who it is and what it may do.
    nobody = of("there-is-none-of-this-name")
    listed = {(group, resource, "", verb) for group, resource in READABLE for verb in READ}
    listed.add(("serving.knative.dev", "revisions", "", "delete"))
    assert of("ft-serving-gate") - nobody == listed
    for account in ("ft-serving-server", "ft-serving-weights", "default"):
        assert of(account) == nobody, account


def test_the_gate_may_do_nothing_in_other_namespaces(deployment: Deployment) -> None:
    asker = client.AuthorizationV1Api(config.new_client_from_config(str(KUBECONFIG)))
    user = f"system:serviceaccount:{deployment.namespace}:ft-serving-gate"

    def may(namespace: str | None, resource: str, verb: str) -> bool:
        attributes = client.V1ResourceAttributes(namespace=namespace, resource=resource, verb=verb)
        spec = client.V1SubjectAccessReviewSpec(user=user, resource_attributes=attributes)
        review = client.V1SubjectAccessReview(spec=spec)
        status = asker.create_subject_access_review(review).status
        assert status is not None
        return bool(status.allowed)

    assert may(deployment.namespace, "pods", "list"), "else the rest proves nothing"
    assert not may("kube-system", "pods", "list")
    assert not may(None, "pods", "list")
    assert not may(None, "nodes", "list")
    assert not may(deployment.namespace, "secrets", "get")
    assert not may(deployment.namespace, "pods", "create")


@pytest.fixture(scope="module")
def network(
    api: DynamicClient, policies: list[Document], labels_of: dict[str, Document]
) -> Network:
    return Network(api, policies, labels_of)


def test_every_pod_of_the_stack_is_selected_both_ways(
    network: Network, cluster: Namespace, labels_of: dict[str, Document]
) -> None:
    stranger = Peer(name="a stranger", namespace=labels_of["default"], labels={})
    for document in cluster.items("v1/Pod", PART):
        own = network.pod(document)
        assert not network.allows(stranger, own, {8000}), own.name
        assert not network.allows(own, stranger, {8000}), own.name


def test_the_server_is_reached_by_those_on_a_requests_way(network: Network, pods: Document) -> None:
    server = network.pod(pods["server"])
    queue = {
        port["containerPort"]
        for each in pods["server"]["spec"]["containers"]
        if each["name"] == "queue-proxy"
        for port in each["ports"]
    }
    for namespace, app in ((NAMESPACE, "traefik"), (KNATIVE, "activator"), (KNATIVE, "autoscaler")):
        assert network.allows(network.app(namespace, app), server, queue), app
    assert network.allows(network.pod(pods["gate"]), server, queue)


def test_the_server_is_reached_by_nobody_else(
    network: Network, pods: Document, labels_of: dict[str, Document]
) -> None:
    server = network.pod(pods["server"])
    assert not network.allows(NODE, server, {8000, 8012})
    (kserve,) = Namespace(network._api, "kserve").items("v1/Pod")
    assert not network.allows(network.pod(kserve), server, {8000, 8012})
    assert not network.allows(network.pod(pods["weights"]), server, {8000, 8012}), (
        "the download has no way out but to names and the hub"
    )


def test_the_server_reaches_nobody(api: DynamicClient, network: Network, pods: Document) -> None:
    server = network.pod(pods["server"])
    names = network.app(NAMESPACE, "coredns")
    assert not network.allows(server, names, ports(api, NAMESPACE, "coredns"), "UDP")
    assert not network.allows(server, NODE, {80, 443, 6443, 8090})
    assert not network.allows(server, network.pod(pods["gate"]), {8000})


@pytest.mark.parametrize("part", ["weights", "gate"])
def test_jobs_reach_names_and_the_hub_and_are_reached_by_nobody(
    api: DynamicClient, network: Network, pods: Document, part: str
) -> None:
    job = network.pod(pods[part])
    names = network.app(NAMESPACE, "coredns")
    for protocol in ("UDP", "TCP"):
        assert network.allows(job, names, ports(api, NAMESPACE, "coredns"), protocol)
    assert network.allows(job, NODE, ports(api, NAMESPACE, "model-hub"))
    assert not network.allows(job, NODE, {22, 3306, 10250})
    for other in (network.app(KNATIVE, "activator"), network.pod(pods["server"]), NODE):
        assert not network.allows(other, job, {8000})


def test_the_gate_alone_reaches_the_api_and_the_service(
    api: DynamicClient, network: Network, pods: Document
) -> None:
    gate, weights = network.pod(pods["gate"]), network.pod(pods["weights"])
    kubernetes = ports(api, "default", "kubernetes")
    private = ports(api, NAMESPACE, "traefik-private")
    ingress = network.app(NAMESPACE, "traefik")
    assert network.allows(gate, NODE, kubernetes)
    assert network.allows(gate, ingress, private)
    assert not network.allows(weights, NODE, kubernetes)
    assert not network.allows(weights, ingress, private)


def test_with_a_hub_outside_the_policies_open_its_port_alone(
    network: Network, pods: Document
) -> None:
    """The stack's own hub is plain HTTP in the cluster, so nothing goes to HTTPS anywhere."""
    assert not network.allows(network.pod(pods["weights"]), NODE, {80, 443})


@pytest.fixture(scope="module")
def token(api: DynamicClient, cluster: Namespace) -> str:
    """The token of the documentation's proxy, which is in front of the service."""
    (traefik,) = Namespace(api, NAMESPACE).items("v1/Pod", "app=traefik")
    image = traefik["spec"]["containers"][0]["image"]
    token = secrets.token_urlsafe()
    for manifest in token_proxy.manifests(namespace=cluster.name, image=image, token=token):
        cluster.create(manifest)
    cluster.wait(
        "apps/v1/Deployment", "token-proxy", lambda it: it["status"].get("readyReplicas") == 1
    )
    return token


@pytest.mark.parametrize("sent", [None, "another-token"])
def test_without_its_token_the_proxy_lets_nobody_ask(
    deployment: Deployment, cluster: Namespace, token: str, sent: str | None
) -> None:
    asked = cluster.create(question(deployment, sent))["metadata"]["name"]
    ended = cluster.wait("v1/Pod", asked, has_ended_badly)
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    log = cluster.log(asked)
    assert "FT_SERVING_TOKEN" in log
    assert "401" in log, log
    assert "another-token" not in log


def test_with_its_token_the_proxy_hands_the_question_on(
    deployment: Deployment, cluster: Namespace, token: str
) -> None:
    assert "Its fleece is white as snow" in cluster.run(question(deployment, token))


def test_a_service_that_is_made_local_is_reached_through_the_proxy_alone(
    deployment: Deployment, cluster: Namespace, token: str
) -> None:
    host = str(deployment.outputs()["host"])
    assert ask(host) != UNKNOWN_HOST
    deployment.change({"serving.public": False})
    report = deployment.up()
    assert report.succeeded, report.messages
    wait_until(lambda: ask(host) == UNKNOWN_HOST, "the public ingress still knows the service")
    assert deployment.outputs()["url"] == f"http://{deployment.outputs()['host']}"
    assert str(deployment.outputs()["host"]).endswith(".svc.cluster.local")
    assert "Its fleece is white as snow" in cluster.run(question(deployment, token))


def has_ended_badly(pod: Document) -> bool:
    statuses = pod["status"].get("containerStatuses", ())
    return any("terminated" in it["state"] for it in statuses)


def question(deployment: Deployment, token: str | None) -> Document:
    """A pod that asks through the proxy."""
    model = deployment.settings["model"]
    command = (
        "ft-serving", "generate", "--url=http://token-proxy", "--wait=60",
        f"--tokenizer={model['repository']}@{model['revision']}",
        "--prompt=Mary has a little lamb.",
    )  # fmt: skip
    variables = {"HF_ENDPOINT": HUB_URL, **({"FT_SERVING_TOKEN": token} if token else {})}
    asking = container(
        str(deployment.outputs()["clientImage"]),
        *command,
        env=[{"name": name, "value": value} for name, value in variables.items()],
        volumeMounts=SCRATCH_MOUNTS,
    )
    made = pod(f"question-{secrets.token_hex(4)}", asking)
    made["spec"]["volumes"] = SCRATCH
    return made
