"""`ft-serving policy`."""

import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from ft_serving.cli import app
from operations.errors import OperationsError
from operations.preview.rendered import Rendered
from policy.resource import ResourceRule, StackResource
from tests.stacks.documents import SHIPPED


def test_it_says_which_stacks_keep_the_rules() -> None:
    result = CliRunner().invoke(app, ["policy"])
    assert result.exit_code == 0, result.exception
    lines = result.output.splitlines()
    assert [it.partition(":")[0] for it in lines] == list(SHIPPED)
    for line in lines:
        assert re.fullmatch(r"\w+: keeps \d+ rules, \d{2} resources", line), line


def test_it_ends_with_every_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(resource: StackResource) -> Iterator[str]:
        if resource.kind == "Namespace":
            yield "must not be"

    rule = ResourceRule(name="no-namespaces", description="For this test.", check=check)
    monkeypatch.setattr("policy.check.RULES", (rule,))
    result = CliRunner().invoke(app, ["policy", "--stack", "dev"])
    assert isinstance(result.exception, OperationsError)
    assert str(result.exception) == (
        "Rules are broken.\ndev: no-namespaces: Namespace access: must not be"
    )


def test_an_unknown_stack_is_told() -> None:
    result = CliRunner().invoke(app, ["policy", "--stack", "nowhere"])
    assert "There is no stack nowhere" in str(result.exception)


def test_a_stack_that_the_program_refuses_keeps_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = {"dev": Rendered(refused="an image's ignore file is missing")}
    monkeypatch.setattr("operations.preview.rendered.render", lambda *_: refused)
    result = CliRunner().invoke(app, ["policy", "--stack", "dev"])
    assert isinstance(result.exception, OperationsError)
    assert str(result.exception).endswith("cannot be deployed: an image's ignore file is missing")
    assert result.stdout == "", "a stack without resources would break no rule"
