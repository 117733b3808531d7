"""The rights of the pods of a deployed stack, and who may talk to them.

The platform's network enforces no policies: they are evaluated for the pods that run, and for the
ports that they listen on.
"""

import secrets
from typing import Any

import pytest
from kubernetes import client, config
from kubernetes.dynamic import DynamicClient

from components.access import READABLE
from local_platform.settings import HUB_URL, KUBECONFIG, NAMESPACE
from tests.deployment.conftest import Deploy
from tests.deployment.program import Deployment
from tests.platform.cluster import Namespace
from tests.platform.ingress import UNKNOWN_HOST, ask
from tests.platform.manifests import SCRATCH, SCRATCH_MOUNTS, container, pod
from tests.policy import token_proxy
from tests.policy.flows import Peer, allowed

pytestmark = [pytest.mark.platform, pytest.mark.slow, pytest.mark.timeout(600)]

PART = "app.kubernetes.io/component"
PARTS = {"weights", "gate", "server", "openai"}
KNATIVE = "knative-serving"
NODE = Peer(name="a node, or an address outside")

Document = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(api: DynamicClient, deployment: Deployment) -> Namespace:
    return Namespace(api, deployment.namespace)


def test_pods_run_restricted_with_what_others_add_and_only_the_gate_has_a_token(
    cluster: Namespace,
) -> None:
    pods = cluster.items("v1/Pod", PART)
    assert {it["metadata"]["labels"][PART] for it in pods} == PARTS
    assert {it["status"]["phase"] for it in pods} <= {"Running", "Succeeded"}
    containers = [each for it in pods for each in it["spec"]["containers"]]
    assert "queue-proxy" in {each["name"] for each in containers}, "Knative's, beside the server"
    for each in containers:
        security = each["securityContext"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"]["drop"] == ["ALL"]
        assert security["readOnlyRootFilesystem"] is True
    with_token = {
        it["metadata"]["labels"][PART]
        for it in pods
        for volume in it["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        if "serviceAccountToken" in source
    }
    assert with_token == {"gate"}


def rights(namespace: str, account: str, where: str) -> set[tuple[str, str, str]]:
    """Return what a service account may do in a namespace: group, resource and verb."""
    asker = config.new_client_from_config(str(KUBECONFIG))
    asker.set_default_header("Impersonate-User", f"system:serviceaccount:{namespace}:{account}")
    answer = client.AuthorizationV1Api(asker).create_self_subject_rules_review(
        client.V1SelfSubjectRulesReview(spec=client.V1SelfSubjectRulesReviewSpec(namespace=where))
    )
    assert answer.status is not None
    assert not answer.status.incomplete
    return {
        (group, resource, verb)
        for rule in answer.status.resource_rules
        for group in rule.api_groups or ()
        for resource in rule.resources or ()
        for verb in rule.verbs
    }


def test_service_accounts_may_do_what_is_listed_and_nothing_else(
    deployment: Deployment,
) -> None:
    here = deployment.namespace
    # Every account may ask who it is and what it may do.
    nobody = rights(here, "there-is-none-of-this-name", here)
    verbs = ("get", "list", "watch")
    listed = {(key, it, verb) for key, kinds in READABLE.items() for it in kinds for verb in verbs}
    listed.add(("serving.knative.dev", "revisions", "delete"))
    assert rights(here, "ft-serving-gate", here) - nobody == listed
    assert rights(here, "ft-serving-gate", "kube-system") == nobody
    for account in ("ft-serving-server", "ft-serving-openai", "ft-serving-weights", "default"):
        assert rights(here, account, here) == nobody, account


class Network:
    """The policies of a stack, over the pods that run."""

    def __init__(self, api: DynamicClient, cluster: Namespace) -> None:
        self._api = api
        self._policies = cluster.items("networking.k8s.io/v1/NetworkPolicy")
        namespaces = api.resources.get(api_version="v1", kind="Namespace").get().to_dict()["items"]
        self._labels = {it["metadata"]["name"]: it["metadata"]["labels"] for it in namespaces}
        self.parts = {
            it["metadata"]["labels"][PART]: self._peer(it) for it in cluster.items("v1/Pod", PART)
        }
        self.stranger = Peer(name="a stranger", namespace=self._labels["default"], labels={})

    def _peer(self, document: Document) -> Peer:
        metadata = document["metadata"]
        namespace = self._labels[metadata["namespace"]]
        return Peer(name=metadata["name"], namespace=namespace, labels=metadata["labels"])

    def app(self, namespace: str, name: str) -> Peer:
        """Return the pod of a part of the platform."""
        (found,) = Namespace(self._api, namespace).items("v1/Pod", f"app={name}")
        return self._peer(found)

    def ports(self, namespace: str, service: str) -> set[int]:
        """Return the ports that the pods behind a service listen on."""
        slices = Namespace(self._api, namespace).items(
            "discovery.k8s.io/v1/EndpointSlice", f"kubernetes.io/service-name={service}"
        )
        return {port["port"] for each in slices for port in each["ports"]}

    def allows(self, source: Peer, target: Peer, ports: set[int], protocol: str = "TCP") -> bool:
        """Return whether every port may be connected to; it must be all of them or none."""
        answers = {allowed(self._policies, source, target, port, protocol) for port in ports}
        assert len(answers) == 1, f"{source.name} to {target.name}: some of {ports}"
        return answers.pop()


@pytest.fixture(scope="module")
def network(api: DynamicClient, cluster: Namespace) -> Network:
    return Network(api, cluster)


def test_server_and_api_are_reached_on_a_requests_way_only_and_the_server_reaches_nobody(
    network: Network,
) -> None:
    server, queue = network.parts["server"], {8012}
    for asked in (server, network.parts["openai"]):
        for namespace, app in (
            (NAMESPACE, "traefik"),
            (KNATIVE, "activator"),
            (KNATIVE, "autoscaler"),
        ):
            assert network.allows(network.app(namespace, app), asked, queue), app
        assert network.allows(network.parts["gate"], asked, queue)
        for other in (NODE, network.stranger):
            assert not network.allows(other, asked, {8000, 8012, 8080}), other.name
    assert not network.allows(network.parts["weights"], server, {8000, 8012})
    names = network.app(NAMESPACE, "coredns")
    assert not network.allows(server, names, network.ports(NAMESPACE, "coredns"), "UDP")
    assert not network.allows(server, NODE, {80, 443, 6443, 8090})
    assert not network.allows(server, network.parts["gate"], {8000})


def test_the_api_reaches_names_and_the_server_and_nothing_outside(network: Network) -> None:
    api = network.parts["openai"]
    names, ingress = (network.app(NAMESPACE, name) for name in ("coredns", "traefik"))
    assert network.allows(api, names, network.ports(NAMESPACE, "coredns"), "UDP")
    assert network.allows(api, ingress, network.ports(NAMESPACE, "traefik-private"))
    assert network.allows(api, network.parts["server"], {8000, 8012}), "in mode Standard"
    assert not network.allows(api, NODE, {80, 443, 6443, 8080})


def test_jobs_reach_names_and_the_hub_the_gate_also_api_and_service_and_nobody_reaches_them(
    network: Network,
) -> None:
    names, ingress = (network.app(NAMESPACE, name) for name in ("coredns", "traefik"))
    kubernetes = network.ports("default", "kubernetes")
    for part in ("weights", "gate"):
        job = network.parts[part]
        for protocol in ("UDP", "TCP"):
            assert network.allows(job, names, network.ports(NAMESPACE, "coredns"), protocol)
        assert network.allows(job, NODE, network.ports(NAMESPACE, "model-hub"))
        assert not network.allows(job, NODE, {22, 80, 3306, 10250})
        for other in (network.app(KNATIVE, "activator"), network.parts["server"], NODE):
            assert not network.allows(other, job, {8000})
        is_gate = part == "gate"
        private = network.ports(NAMESPACE, "traefik-private")
        assert network.allows(job, NODE, kubernetes) == is_gate
        assert network.allows(job, ingress, private) == is_gate


def test_a_local_service_answers_only_a_token_through_the_documentations_proxy(
    api: DynamicClient, deployment: Deployment, new_stack: Deploy
) -> None:
    stack = new_stack({**deployment.images(), "serving.public": False})
    stack.deploy()
    outputs = stack.outputs()
    assert outputs["url"] == f"http://{outputs['host']}"
    assert str(outputs["host"]).endswith(".svc.cluster.local")
    public = str(deployment.outputs()["host"])
    assert ask(public) != UNKNOWN_HOST
    assert ask(public.replace(deployment.namespace, stack.namespace)) == UNKNOWN_HOST

    cluster = Namespace(api, stack.namespace)
    (traefik,) = Namespace(api, NAMESPACE).items("v1/Pod", "app=traefik")
    image = traefik["spec"]["containers"][0]["image"]
    token = secrets.token_urlsafe()
    for manifest in token_proxy.manifests(namespace=cluster.name, image=image, token=token):
        cluster.create(manifest)
    cluster.wait(
        "apps/v1/Deployment", "token-proxy", lambda it: it["status"].get("readyReplicas") == 1
    )
    asked = cluster.create(question(stack, "another-token"))["metadata"]["name"]
    ended = cluster.wait("v1/Pod", asked, has_ended_badly)
    assert ended["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1
    log = cluster.log(asked)
    assert "FT_SERVING_TOKEN" in log
    assert "401" in log, log
    assert "another-token" not in log
    assert "Its fleece is white as snow" in cluster.run(question(stack, token))


def has_ended_badly(pod: Document) -> bool:
    statuses = pod["status"].get("containerStatuses", ())
    return any("terminated" in it["state"] for it in statuses)


def question(stack: Deployment, token: str) -> Document:
    """Return a pod that asks through the proxy."""
    command = (
        "ft-serving", "generate", "--url=http://token-proxy", "--wait=60",
        f"--tokenizer={stack.source()}",
        "--prompt=Mary has a little lamb.",
    )  # fmt: skip
    variables = {"HF_ENDPOINT": HUB_URL, "FT_SERVING_TOKEN": token}
    asking = container(
        str(stack.outputs()["clientImage"]),
        *command,
        env=[{"name": name, "value": value} for name, value in variables.items()],
        volumeMounts=SCRATCH_MOUNTS,
    )
    made = pod(f"question-{secrets.token_hex(4)}", asking)
    made["spec"]["volumes"] = SCRATCH
    return made
