"""Prometheus takes all expressions, and the alerts fire when they should."""

from pathlib import Path

import pytest
import yaml

from tests.monitoring.files import alerts, expressions, rule_file
from tests.monitoring.promtool import promtool

CASES = Path(__file__).parent / "alerts_test.yaml"

pytestmark = pytest.mark.slow


def test_prometheus_takes_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule_file()))
    done = promtool("check", "rules", "rules.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


def test_prometheus_takes_the_dashboards_expressions(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression}
        for number, (_, expression) in enumerate(expressions())
    ]
    groups = {"groups": [{"name": "panels", "rules": rules}]}
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump(groups))
    done = promtool("check", "rules", "panels.yaml", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_when_it_should_and_not_before(tmp_path: Path) -> None:
    cases = yaml.safe_load(CASES.read_text())
    tested = {it["alertname"] for case in cases["tests"] for it in case["alert_rule_test"]}
    assert tested == {alert["alert"] for alert in alerts()}
    rules = rule_file()
    for group in rules["groups"]:
        for alert in group["rules"]:
            # Texts are for people to judge; a case names the labels.
            del alert["annotations"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rules))
    (tmp_path / CASES.name).write_text(CASES.read_text())
    done = promtool("test", "rules", CASES.name, folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
