"""`ft-serving policy`."""

import re
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from ft_serving.cli import app
from operations.errors import OperationsError
from operations.preview.rendered import Rendered, resources_of
from operations.recording.listing import listing
from policy.resource import ResourceRule, StackResource
from tests.components.program import program


def test_it_ends_with_every_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(resource: StackResource) -> Iterator[str]:
        if resource.kind == "Namespace":
            yield "must not be"

    rule = ResourceRule(name="no-namespaces", description="For this test.", check=check)
    rendered = {"dev": Rendered(resources=resources_of(listing(program("dev"))))}
    with monkeypatch.context() as patch:
        patch.setattr("operations.preview.rendered.render", lambda *_: rendered)
        patch.setattr("policy.check.RULES", (rule,))
        result = CliRunner().invoke(app, ["policy", "--stack", "dev"])
    assert isinstance(result.exception, OperationsError)
    assert str(result.exception) == (
        "Rules are broken.\ndev: no-namespaces: Namespace access: must not be"
    )


@pytest.mark.slow
def test_it_says_which_stacks_keep_the_rules() -> None:
    result = CliRunner().invoke(app, ["policy"])
    assert result.exit_code == 0, result.exception
    for line in result.output.splitlines():
        assert re.fullmatch(r"\w+: keeps \d+ rules, \d{2} resources", line), line


def test_a_stack_that_is_unknown_or_refused_keeps_no_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    result = CliRunner().invoke(app, ["policy", "--stack", "nowhere"])
    assert "There is no stack nowhere" in str(result.exception)
    refused = {"dev": Rendered(refused="an image's ignore file is missing")}
    monkeypatch.setattr("operations.preview.rendered.render", lambda *_: refused)
    result = CliRunner().invoke(app, ["policy", "--stack", "dev"])
    assert isinstance(result.exception, OperationsError)
    assert str(result.exception).endswith("cannot be deployed: an image's ignore file is missing")
    assert result.stdout == "", "a stack without resources would break no rule"
