"""The configuration of Prometheus, and the rules' own tests in prometheus/tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alerts.toolchain import COMMAND_SECONDS, PROMETHEUS, Tools, output_of

pytestmark = [pytest.mark.alerts, pytest.mark.timeout(COMMAND_SECONDS + 20)]

RULE_FILES = sorted([*PROMETHEUS.glob("rules/*.rules.yml"), *PROMETHEUS.glob("alerts/*.alerts.yml")])
TEST_FILES = sorted(PROMETHEUS.glob("tests/*.test.yml"))


def test_prometheus_accepts_the_configuration(tools: Tools) -> None:
    output_of(tools.promtool, "check", "config", PROMETHEUS / "prometheus.yml")


def test_the_rules_have_nothing_to_lint(tools: Tools) -> None:
    output_of(tools.promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)


@pytest.mark.parametrize("file", TEST_FILES, ids=lambda file: file.name)
def test_the_rules_pass_their_tests(tools: Tools, file: Path) -> None:
    output_of(tools.promtool, "test", "rules", file)


def test_addresses_of_the_parts_stand_in_the_configuration_once() -> None:
    text = (PROMETHEUS / "prometheus.yml").read_text()
    assert [text.count(f"127.0.0.1:{port}") for port in (9855, 9856, 9090, 9093)] == [1, 1, 1, 1]
