"""Measures the stages of waking a service from zero replicas.

Deploys the stack `dev` with `replicas.min: 0` in a namespace of its own on the embedded platform,
waits until nothing runs, asks for one token, and breaks down the time until it is there; several
times with the server's image on the node, and once without. Then all of it is removed.

Run: make benchmark-coldstart
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import grpc
from kubernetes.dynamic import DynamicClient
from rich.console import Console
from rich.table import Table

from benchmarks.wakeup import STAGES, Observer
from ft_serving.core.terminal import standard_output
from local_platform.node.volumes import local_client
from local_platform.settings import CONTAINERD_SOCKET, KUBECONFIG
from tests.deployment.program import Deployment, platform_settings
from tests.platform.waiting import wait_until

NAMESPACE = "benchmark-coldstart"
PROMPT = (690, 513, 260, 331, 448, 15)
"""Token ids, so that no tokenizer is loaded."""

Round = dict[str, float]


def main() -> None:
    """Measure, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu", default="500m", help="`resources.cpu` of the server")
    parser.add_argument("--json", type=Path, help="write every round to this file, too")
    options = parser.parse_args()
    api = DynamicClient(local_client(KUBECONFIG))
    changes = {
        "replicas.min": 0,
        "resources.cpu": options.cpu,
        "storage.deleteWeightsOnDestroy": True,
    }
    with tempfile.TemporaryDirectory() as folder:
        settings = platform_settings(NAMESPACE, changes)
        deployment = Deployment(Path(folder), NAMESPACE, settings)
        try:
            report = deployment.up()
            if not report.succeeded:
                raise SystemExit(report.messages)
            rounds = [wake_up(api, deployment) for _ in range(options.rounds)]
            remove_image(str(deployment.outputs()["serverImage"]))
            pulling = wake_up(api, deployment)
        finally:
            deployment.destroy()
    show(rounds, pulling)
    if options.json:
        document = {"cpu": options.cpu, "rounds": rounds, "image pulled": pulling}
        options.json.write_text(json.dumps(document, indent=2) + "\n")


def wake_up(api: DynamicClient, deployment: Deployment) -> Round:
    """Wait until no pod is left, wake the service, and return the seconds of each stage."""
    observer = Observer(api, deployment.namespace)
    wait_until(lambda: not observer.pods(), "The service still has pods", seconds=120)
    with observer.watching(), deployment.client() as client:
        asked = time.time()
        client.model()
        routed = time.time()
        client.generate_ids([PROMPT], output_length=1)
        answered = time.time()
        # The last news of the pod are still on their way.
        time.sleep(1)
        stages = observer.stages(asked, routed, answered)
        parts = observer.parts_of_model()
    for told in (stages, parts):
        if told:
            print("  ".join(f"{name} {seconds:.2f}" for name, seconds in told.items()), flush=True)
    return stages


def remove_image(image: str) -> None:
    """Take an image from the node, so that the next pod pulls it."""
    with grpc.insecure_channel(f"unix://{CONTAINERD_SOCKET}") as channel:
        remove: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/runtime.v1.ImageService/RemoveImage"
        )
        # RemoveImageRequest{image: ImageSpec{image: …}} of the Container Runtime Interface.
        remove(_message(_message(image.encode())))


def _message(content: bytes) -> bytes:
    """Return a protobuf message whose only field is its first, with that content."""
    size, rest = len(content), bytearray()
    while size > 0x7F:
        rest.append(size & 0x7F | 0x80)
        size >>= 7
    return b"\x0a" + bytes(rest) + bytes([size]) + content


def show(rounds: Sequence[Round], pulling: Round) -> None:
    """Print a table with a row a stage, and one for the whole."""
    table = Table(box=None, pad_edge=False)
    table.add_column("STAGE")
    for heading in ("SECONDS\nmedian", "\nsmallest", "\nlargest", "PULLED\nonce"):
        table.add_column(heading, justify="right")
    table.add_column("WHAT HAPPENS")
    for stage, (_, meaning) in STAGES.items():
        found = [each[stage] for each in rounds]
        table.add_row(stage, *_shown(found, pulling[stage]), meaning)
    wholes = [sum(each.values()) for each in rounds]
    table.add_row("all", *_shown(wholes, sum(pulling.values())), "")
    Console().print(table)


def _shown(found: Sequence[float], once: float) -> list[str]:
    numbers = (statistics.median(found), min(found), max(found), once)
    return [f"{number:.2f}" for number in numbers]


if __name__ == "__main__":
    with standard_output():
        main()
