"""The stacks that come with the project, and what a program gets from them."""

from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from ft_serving.client.tokenizer import DEFAULT_TOKENIZER
from ft_serving.core.families import read_architecture
from ft_serving.core.families.architecture import Shape
from ft_serving.core.families.gptneox import GPTNEOX
from ft_serving.core.hub.client import Hub
from local_platform import settings
from local_platform.hub.repository import Catalogue
from stacks.config import StackConfig
from stacks.gpus import NodeRequirement
from stacks.models import KNOWN_MODELS
from stacks.quantities import parse_bytes
from stacks.resolved import ContainerResources
from stacks.sizing import release_bytes, storage_bytes
from tests.stacks.documents import ROOT, SHIPPED, config, shipped


@pytest.fixture(params=SHIPPED)
def stack(request: pytest.FixtureRequest) -> StackConfig:
    return config(shipped(request.param))


def test_every_stack_file_is_among_the_tested() -> None:
    files = sorted(path.name.split(".")[1] for path in ROOT.glob("Pulumi.*.yaml"))
    assert tuple(files) == SHIPPED


def test_every_stack_has_memory_to_spare(stack: StackConfig) -> None:
    if stack.gpu.model is not None:
        memory = stack.engine.gpu_memory(stack.demand)
        assert memory.total < 0.8 * stack.gpu.model.memory_bytes


@pytest.mark.parametrize("stack", SHIPPED)
def test_no_stack_file_has_a_salt(stack: str) -> None:
    document = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())
    assert document.keys() == {"config"}, (
        "Pulumi adds a salt that fits one machine's passphrase: elsewhere each command would fail"
    )


def test_dev_is_for_the_embedded_platform() -> None:
    dev = config(shipped("dev"))
    assert dev.hub.endpoint == settings.HUB_URL
    assert dev.storage.storage_class == settings.STORAGE_CLASS
    assert dev.image.registry == settings.REGISTRY
    assert dev.cluster.kubeconfig == str(settings.KUBECONFIG)
    assert dev.engine.name == "cpu"
    assert dev.image.repository(dev.engine.image) == "localhost:5000/ft-serving/server-cpu"
    assert dev.node_requirements == ()
    assert dev.server_resources == ContainerResources(
        cpu="500m", memory="832Mi", gpus=0, shared_memory="256Mi"
    )
    assert not dev.storage.protect, "destroy must end without a flag"
    assert not dev.storage.delete_weights_on_destroy


def test_the_commits_built_in_are_those_that_the_mirror_serves() -> None:
    catalogue = Catalogue(ROOT / "models")
    for folder in (ROOT / "models").iterdir():
        assert KNOWN_MODELS[folder.name].revision == catalogue.snapshot(folder.name).commit, (
            f"a file of models/{folder.name} has changed: name the new commit in stacks/models.py"
        )


def test_coreweave_is_where_and_what_the_original_example_is() -> None:
    coreweave = config(shipped("coreweave"))
    assert coreweave.node_requirements == (
        NodeRequirement(key="gpu.nvidia.com/class", values=("RTX_A5000",)),
        NodeRequirement(key="topology.kubernetes.io/region", values=("LAS1",)),
    )
    assert (coreweave.replicas.min, coreweave.replicas.max) == (1, 1)
    assert (coreweave.storage.size, coreweave.storage.access_mode) == ("150Gi", "ReadWriteMany")
    assert coreweave.storage.storage_class == "shared-nvme-las1", "the region of the pods"
    assert coreweave.server_resources == ContainerResources(
        cpu="5", memory="17Gi", gpus=1, shared_memory="512Mi"
    ), "its 8Gi are FasterTransformer's"


def test_the_job_is_sized_by_the_model() -> None:
    dev, prod = config(shipped("dev")), config(shipped("prod"))
    assert dev.job_resources == ContainerResources(
        cpu="2", memory="512Mi", gpus=0, shared_memory=None
    )
    assert prod.job_resources == ContainerResources(
        cpu="2", memory="2Gi", gpus=0, shared_memory=None
    )
    assert (dev.job_deadline_s, prod.job_deadline_s) == (601, 3275)


def test_gpt_j_s_tokenizer_is_the_client_s_own() -> None:
    assert config(shipped("coreweave")).tokenizer_source == DEFAULT_TOKENIZER


def test_the_numbers_built_in_are_those_of_config_json() -> None:
    for folder in (ROOT / "models").iterdir():
        family, architecture = read_architecture((folder / "config.json").read_bytes())
        built_in = KNOWN_MODELS[folder.name].blueprint
        assert built_in.family is family
        assert built_in.shape == Shape(
            **{number.name: getattr(architecture, number.name) for number in fields(Shape)}
        )


def test_a_model_that_is_built_in_needs_its_name_only() -> None:
    pythia = config({**shipped("staging"), "model": {"repository": "EleutherAI/pythia-1.4b"}})
    assert pythia.release.revision == "fedc38a16eea3bd36a96b906d78d11d2ce18ed79"
    assert pythia.tokenizer_source == f"EleutherAI/pythia-1.4b@{pythia.revision}"
    assert pythia.blueprint.family is GPTNEOX
    assert pythia.golden_question.expected_words == ("Friday", "Saturday", "Sunday")


def test_every_volume_has_room_for_another_release(stack: StackConfig) -> None:
    releases = stack.storage.keep_releases + 1
    needed = storage_bytes(
        stack.blueprint, stack.model.dtype, releases, stack.engine.compiled_bytes
    )
    another = release_bytes(stack.blueprint, stack.model.dtype)
    assert parse_bytes(stack.storage.size) > needed + another


def test_the_hub_s_default_is_the_client_s() -> None:
    hub = Hub.from_environment({}, lambda _: None)
    endpoint = config(shipped("prod")).hub.endpoint
    assert hub.endpoint == endpoint


def test_the_project_is_named_as_its_settings_are() -> None:
    assert Path(ROOT, "Pulumi.yaml").read_text().startswith("name: ft-serving\n")
