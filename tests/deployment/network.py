"""The network policies of a stack, over the pods that run and the ports that they listen on."""

from collections.abc import Mapping
from typing import Any

from kubernetes.dynamic import DynamicClient

from tests.platform.cluster import Namespace
from tests.policy.flows import Peer, allowed

Document = dict[str, Any]


def ports(api: DynamicClient, namespace: str, service: str) -> set[int]:
    """The ports that the pods behind a service listen on."""
    slices = Namespace(api, namespace).items(
        "discovery.k8s.io/v1/EndpointSlice", f"kubernetes.io/service-name={service}"
    )
    return {port["port"] for each in slices for port in each["ports"]}


class Network:
    """The policies of a stack, over the pods that run."""

    def __init__(
        self, api: DynamicClient, policies: list[Document], labels_of: Mapping[str, Document]
    ) -> None:
        self._api, self._policies, self._labels_of = api, policies, labels_of

    def pod(self, document: Document) -> Peer:
        """A pod as policies see it."""
        metadata = document["metadata"]
        namespace = self._labels_of[metadata["namespace"]]
        return Peer(name=metadata["name"], namespace=namespace, labels=metadata["labels"])

    def app(self, namespace: str, name: str) -> Peer:
        """The pod of a part of the platform."""
        (found,) = Namespace(self._api, namespace).items("v1/Pod", f"app={name}")
        return self.pod(found)

    def allows(self, source: Peer, target: Peer, ports: set[int], protocol: str = "TCP") -> bool:
        """Whether every port may be connected to; none has to be so where one is not."""
        assert ports, f"{target.name} listens on no port"
        answers = {allowed(self._policies, source, target, port, protocol) for port in ports}
        assert len(answers) == 1, f"{source.name} to {target.name}: some of {ports}"
        return answers.pop()
