"""Reading the configuration that Pulumi hands over."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pulumi
import pytest
from pulumi.runtime.config import set_all_config

from stacks.load import Stack, load_stack
from tests import coroutines
from tests.stacks.documents import GPU, ROOT, changed

TOKEN = "hf_secret"


@pytest.fixture(autouse=True)
def no_config_left() -> Iterator[None]:
    yield
    set_all_config({}, [])


class _Mocks(pulumi.runtime.Mocks):
    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        raise AssertionError("configuration creates no resource")

    def call(
        self, args: pulumi.runtime.MockCallArgs
    ) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError("configuration calls no provider")


def _load(
    document: dict[str, Any], plain: dict[str, str] | None = None, **secrets: str
) -> tuple[Stack, dict[str, Any]]:
    """Load as the engine has it: sections as JSON, texts as they are; and resolve secrets."""
    values = {name: json.dumps(value) for name, value in document.items()}
    values |= {**(plain or {}), **secrets}
    prefixed = {f"ft-serving:{name}": value for name, value in values.items()}
    found: dict[str, Any] = {}

    async def run() -> Stack:
        pulumi.runtime.set_mocks(_Mocks(), project="ft-serving", stack="staging")
        set_all_config(
            {**prefixed, "kubernetes:context": "x"}, [f"ft-serving:{name}" for name in secrets]
        )
        stack = load_stack()
        for name in ("hub_token", "registry_password"):
            output = getattr(stack, name)
            if output is not None:
                found[name] = (await output.future(), await output.is_secret())
        return stack

    return coroutines.run(run()), found


def test_sections_and_secrets_are_read() -> None:
    document = changed(GPU, {"image.username": "me"})
    stack, secrets = _load(document, hubToken=TOKEN, registryPassword="pass")
    assert stack.name == "staging"
    assert stack.config.gpu.type == "RTX_A5000"
    assert secrets == {"hub_token": (TOKEN, True), "registry_password": ("pass", True)}
    assert TOKEN not in repr(stack.config)


def test_without_secrets_there_are_none() -> None:
    stack, secrets = _load(GPU)
    assert stack.hub_token is None
    assert stack.registry_password is None
    assert not secrets


def test_all_problems_end_the_program_without_a_traceback() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        _load(changed(GPU, {"gpu.tensorParallel": 3, "storage.size": "1Gi"}))
    lines = str(caught.value).splitlines()
    assert lines[0] == "The configuration cannot be deployed (docs/configuration.md):"
    assert [line.partition(":")[0] for line in lines[1:]] == ["gpu.tensorParallel", "storage.size"]


def test_a_token_in_plain_text_is_refused_and_not_shown() -> None:
    with pytest.raises(pulumi.RunError) as caught:
        _load(GPU, {"hubToken": TOKEN})
    assert str(caught.value).splitlines()[1] == (
        "hubToken: must be a secret; got plain text, which is in the stack's file now; "
        "use pulumi config set --secret hubToken, with a new one"
    )
    assert TOKEN not in str(caught.value)


def test_a_section_with_a_secret_is_refused_and_not_shown() -> None:
    document = changed(GPU, {"model.revision": TOKEN})
    model = json.dumps(document.pop("model"))
    with pytest.raises(pulumi.RunError) as caught:
        _load(document, model=model)
    (line,) = str(caught.value).splitlines()[1:]
    assert line == (
        "model: must hold no secret; got one; "
        "use the secrets hubToken and registryPassword beside the sections"
    )


def test_a_section_that_is_text_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="gpu: must be a group of settings; got 'A40'; use"):
        _load({name: value for name, value in GPU.items() if name != "gpu"}, {"gpu": "A40"})


def test_configuration_needs_neither_pulumi_nor_numpy() -> None:
    """Editors, tests and the generator of the schema read it, too."""
    program = (
        "import sys, stacks.parse, stacks.load, stacks.schema; "
        "print(sorted({'pulumi', 'numpy', 'yaml'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
