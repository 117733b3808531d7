"""The rules as a CrossGuard pack, run by Pulumi's engine."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.deployment.conftest import Deploy
from tests.policy import crossguard
from tests.pulumi_cli import PulumiCli, platform_variables

pytestmark = [pytest.mark.platform, pytest.mark.slow]


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        yield str(crossguard.install(tmp_path_factory.mktemp("pack"), patch))


def test_the_program_keeps_the_packs_rules_though_a_preview_knows_no_digests(
    pack: str, new_stack: Deploy
) -> None:
    report = new_stack().preview("--policy-pack", pack)
    assert report.succeeded, report.messages
    assert "Policy Packs run" in report.messages
    assert "can't run policy" not in report.messages, "a rule gave up on an unknown value"


def test_an_update_that_breaks_a_rule_ends_before_anything_is_made(
    pack: str, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.mkdir()
    (program / "Pulumi.yaml").write_text("name: broken\nruntime: python\n")
    # A component: no provider would make it, and the pack looks at it alike.
    (program / "__main__.py").write_text(
        dedent(
            """
            import pulumi

            spec = {"containers": [{"image": "it:latest"}]}
            pulumi.ComponentResource("kubernetes:core/v1:Pod", "a-pod", {"spec": spec})
            """
        )
    )
    cli = PulumiCli(folder=tmp_path / "pulumi", passphrase="x", variables=platform_variables())
    cli.ask(program, "stack", "init", "broken")
    options = ("--yes", "--skip-preview", "--policy-pack", pack)
    report = cli.report(program, "up", *options)
    assert not report.succeeded
    for words in (
        "[mandatory]  images-by-digest  (kubernetes:core/v1:Pod: a-pod)",
        "spec.containers[0].image: must be NAME@sha256:DIGEST; got it:latest",
        "[mandatory]  non-root-containers",
    ):
        assert words in report.messages, report.messages
    assert report.operations("a-pod") == []
