"""The contract of every component."""

import inspect
import pkgutil
from importlib import import_module
from typing import Any, get_type_hints

import pulumi
import pytest

import components
from operations.recording.recorder import COMPONENT, Registered
from tests.components.program import COMPONENTS, CPU_STACK, GPU_STACK, made, program
from tests.stacks.documents import SHIPPED


def classes() -> dict[str, type[pulumi.ComponentResource]]:
    modules = [
        import_module(f"components.{it.name}") for it in pkgutil.iter_modules(components.__path__)
    ]
    return {
        name: item
        for module in modules
        for name, item in vars(module).items()
        if inspect.isclass(item) and issubclass(item, pulumi.ComponentResource)
    }


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_type_token_is_frozen(name: str) -> None:
    token = made(name).component("it").type
    assert token == f"{COMPONENT}{name}", "another token is another resource in every stack's state"


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_constructor_takes_name_args_and_options(name: str) -> None:
    constructor = classes()[name].__init__
    assert list(inspect.signature(constructor).parameters) == ["self", "name", "args", "opts"]
    hints = get_type_hints(constructor)
    assert hints["name"] is str
    assert hints["opts"] == pulumi.ResourceOptions | None
    args = hints["args"]
    assert args.__name__ == f"{name}Args"
    assert args.__dataclass_params__.frozen, "arguments that change later change nothing"
    kinds = {it.kind for it in inspect.signature(args).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", COMPONENTS)
def test_outputs_have_the_names_of_the_annotated_attributes(name: str) -> None:
    annotated = {it for it in inspect.get_annotations(classes()[name]) if not it.startswith("_")}
    assert set(made(name).outputs["it"]) == annotated


@pytest.mark.parametrize("stack", [CPU_STACK, GPU_STACK], ids=["cpu", "gpu"])
@pytest.mark.parametrize("name", COMPONENTS)
def test_nothing_is_made_outside_of_the_component(name: str, stack: Any) -> None:
    recording = made(name, stack)
    children = [it for it in recording.resources if not it.type.startswith(COMPONENT)]
    assert children
    assert {it.parent for it in children} == {"it"}


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_with_another_name_is_beside_the_first(name: str) -> None:
    children = [it.name for it in made(name).resources]
    assert all(child.startswith("it") for child in children), children


@pytest.mark.parametrize("stack", SHIPPED)
def test_everything_in_the_cluster_has_labels_and_one_namespace(stack: str) -> None:
    for resource in in_cluster(stack):
        metadata = resource.inputs["metadata"]
        assert metadata["labels"]["app.kubernetes.io/name"] == "ft-serving", resource
        assert metadata["labels"]["app.kubernetes.io/component"], resource
        if not resource.type.endswith(":Namespace"):
            assert metadata["namespace"] == "ft-serving", resource


@pytest.mark.parametrize("stack", SHIPPED)
def test_everything_in_the_cluster_has_the_provider_that_the_configuration_names(
    stack: str,
) -> None:
    providers = {it.request.provider.rpartition("::")[0] for it in in_cluster(stack)}
    assert len(providers) == 1
    assert providers.pop().endswith("::kubernetes"), "the default one may be another cluster's"


def in_cluster(stack: str) -> list[Registered]:
    return [
        it for it in program(stack).resources if it.type.startswith("kubernetes:") and not it.read
    ]
