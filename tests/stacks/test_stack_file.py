"""Reading a stack's file without Pulumi."""

from pathlib import Path

import pytest
import yaml

from stacks.errors import ConfigError
from stacks.stack_file import StackFileError, read_stack_file, stack_names
from tests.stacks.documents import GPU, PROJECT, ROOT, SHIPPED, Document


def write(folder: Path, document: Document) -> None:
    config = {f"{PROJECT}{name}": value for name, value in document.items()}
    (folder / "Pulumi.mine.yaml").write_text(yaml.safe_dump({"config": config}))


def test_every_stack_that_comes_with_the_project_is_read() -> None:
    assert tuple(stack_names(ROOT)) == SHIPPED
    for stack in SHIPPED:
        assert read_stack_file(ROOT, stack).image.registry


def test_a_stack_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    write(tmp_path, GPU)
    with pytest.raises(StackFileError, match=r"no stack other: .* is missing. There are mine$"):
        read_stack_file(tmp_path, "other")


@pytest.mark.parametrize("text", ["", "[]", "config: 3", "config: {"])
def test_a_file_that_is_no_stacks_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "Pulumi.mine.yaml").write_text(text)
    with pytest.raises(StackFileError, match=r"Pulumi\.mine\.yaml"):
        read_stack_file(tmp_path, "mine")


def test_an_encrypted_secret_counts_as_set(tmp_path: Path) -> None:
    image = {**GPU["image"], "username": "me"}
    write(tmp_path, {**GPU, "image": image, "registryPassword": {"secure": "v1:abc"}})
    assert read_stack_file(tmp_path, "mine").image.username == "me"


def test_a_password_in_plain_text_is_refused_and_not_shown(tmp_path: Path) -> None:
    write(tmp_path, {**GPU, "registryPassword": "hunter2"})
    with pytest.raises(ConfigError, match="registryPassword: must be a secret") as caught:
        read_stack_file(tmp_path, "mine")
    assert "hunter2" not in str(caught.value)


def test_a_secret_within_a_section_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {**GPU, "hub": {"endpoint": {"secure": "v1:abc"}}})
    with pytest.raises(ConfigError, match="hub: must hold no secret"):
        read_stack_file(tmp_path, "mine")
