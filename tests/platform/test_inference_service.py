"""From the model hub to a text: the project's images under KServe, on a volume of the platform."""

from urllib.parse import urlsplit

import pytest

from ft_serving.client import GenerationClient
from local_platform import addons
from local_platform.settings import HUB_URL, INGRESS_DOMAIN, INGRESS_PORT
from tests.platform.cluster import Namespace, ready
from tests.platform.images import build_and_push
from tests.platform.ingress import wait_until_routed
from tests.platform.manifests import SCRATCH, SCRATCH_MOUNTS, Document, claim, container, pod
from tests.serving import GOLDEN, TINY_GPTJ

pytestmark = pytest.mark.platform

KIND = "serving.kserve.io/v1beta1/InferenceService"


@pytest.fixture(scope="module")
def images(base_image: str) -> dict[str, str]:
    """The project's images `weights` and `server-cpu`, in the registry."""
    wheels = addons.wheels_image(lambda _: None)
    return {
        name: build_and_push(
            name,
            "--network=none",
            f"--build-arg=BASE_IMAGE={base_image}",
            f"--build-arg=WHEELS_IMAGE={wheels}",
            f"--file=images/{name}/Dockerfile",
            ".",
        )
        for name in ("weights", "server-cpu")
    }


def inference_service(name: str, image: str, claim: str, release: str) -> Document:
    server = container(
        image,
        args=[f"--model-repository={release}"],
        ports=[{"containerPort": 8000, "protocol": "TCP"}],
        readinessProbe={"httpGet": {"path": "/v2/health/ready", "port": 8000}},
        volumeMounts=[
            {"name": "models", "mountPath": "/mnt/models", "readOnly": True},
            *SCRATCH_MOUNTS,
        ],
        resources={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    )
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {
            "predictor": {
                "minReplicas": 1,
                "containers": [server | {"name": "kserve-container"}],
                "volumes": [
                    {"name": "models", "persistentVolumeClaim": {"claimName": claim}},
                    *SCRATCH,
                ],
            }
        },
    }


def test_a_model_from_the_hub_becomes_ready_and_gives_the_golden_answer(
    namespace: Namespace, images: dict[str, str]
) -> None:
    namespace.create(claim("models"))
    release = prepare(namespace, images["weights"])
    namespace.create(inference_service("tiny", images["server-cpu"], "models", release))
    url = namespace.wait(KIND, "tiny", ready, seconds=120)["status"]["url"]

    host = urlsplit(url).netloc
    assert host.endswith(f".{namespace.name}.{INGRESS_DOMAIN}")
    wait_until_routed(host)
    with GenerationClient(
        f"http://127.0.0.1:{INGRESS_PORT}",
        host_header=host,
        tokenizer=TINY_GPTJ / "tokenizer.json",
        wait_s=30,
    ) as client:
        (generation,) = client.generate(
            [GOLDEN["prompt"]], output_length=GOLDEN["request_output_len"]
        )

    assert generation.text == GOLDEN["text"]


def prepare(namespace: Namespace, image: str) -> str:
    """Prepare tiny-gptj on the claim `models`; return the release's folder."""
    weights = container(
        image,
        args=[
            "prepare",
            "--repository=tiny-gptj",
            "--revision=main",
            "--storage=/mnt/models",
            "--dtype=fp32",
        ],
        env=[{"name": "HF_ENDPOINT", "value": HUB_URL}],
    )
    manifest = pod("weights", weights, claim="models")
    weights["volumeMounts"] = [{"name": "data", "mountPath": "/mnt/models"}, *SCRATCH_MOUNTS]
    manifest["spec"]["volumes"] += SCRATCH
    # A container's log has both streams, in whichever order the runtime read them.
    (release,) = [line for line in namespace.run(manifest).splitlines() if line.startswith("/")]
    return release
