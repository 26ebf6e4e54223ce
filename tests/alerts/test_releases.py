"""Every release of vLLM from 0.6 on gives the same series: at each server, for its model, and for all together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alerts.releases import (
    AT,
    EXPECTED,
    OF_SERVERS_ONLY,
    REQUESTS,
    SCRAPE,
    STEPS,
    Shown,
    expected,
    extract,
    extracted,
    series,
    shown,
)
from tests.alerts.toolchain import PROMETHEUS, Tools, output_of

pytestmark = pytest.mark.alerts

DOCUMENT = Path(__file__).parents[3] / "shared" / "data" / "vllm" / "metrics_by_release.json"
NO_DOCUMENT = pytest.mark.skipif(
    not DOCUMENT.exists(), reason="no metrics_by_release.json beside the checkout: the extract of it is tested"
)
SIGNALS = [*EXPECTED, REQUESTS]
TOGETHER = 15  # servers: what promtool takes grows faster than their number
MEASURED_ALIKE = ("e2e_seconds:p50_2m", "ttft_seconds:p50_2m", "kv_cache_usage_ratio:max")  # whoever is added


def test_each_set_of_families_that_vllm_has_had_gives_every_series(tools: Tools, tmp_path: Path) -> None:
    check(tools, extracted(), tmp_path)


@NO_DOCUMENT
def test_each_release_gives_every_series(tools: Tools, tmp_path: Path) -> None:
    releases = list(shown(json.loads(DOCUMENT.read_text())))
    assert len({one.release for one in releases}) == 55
    for first in range(0, len(releases), TOGETHER):
        check(tools, releases[first : first + TOGETHER], tmp_path)


@NO_DOCUMENT
def test_the_extract_has_each_set_of_families() -> None:
    wanted = extract(shown(json.loads(DOCUMENT.read_text())))
    assert [(one.release, one.engine, list(one.families)) for one in extracted()] == [
        (era["release"], era["engine"], era["families"]) for era in wanted
    ]


def test_the_newest_release_and_the_oldest_have_all_that_alerts_need() -> None:
    """So that a hole in the document cannot pass for a release that shows less."""
    needed = {"requests_running:sum", "requests_waiting:sum", "kv_cache_usage_ratio:max", "generation_tokens:rate1m"}
    for one in extracted():
        assert needed <= set(expected(one)), one.server
    assert set(expected(extracted()[-1])) == set(SIGNALS)
    assert set(SIGNALS) - set(expected(extracted()[0])) == {
        "request_errors:rate1m",
        "request_errors:ratio_rate1m",
        "queue_seconds:p50_2m",
        "prefill_seconds:mean_2m",
        "decode_seconds:mean_2m",
    }


def check(tools: Tools, releases: list[Shown], folder: Path) -> None:
    """All of them beside each other in one Prometheus, so that none may disturb another."""
    file = folder / "releases.test.yml"
    file.write_text(yaml.safe_dump(document(releases), sort_keys=False))
    output_of(tools.promtool, "test", "rules", file)


def document(releases: list[Shown]) -> dict[str, Any]:
    return {
        "rule_files": [str(file) for file in sorted(PROMETHEUS.glob("rules/*.rules.yml"))],
        "evaluation_interval": SCRAPE,
        "tests": [
            {
                "interval": SCRAPE,
                "input_series": [
                    *(line for one in releases for line in series(one)),
                    *(
                        {
                            "series": f'up{{job="vllm", instance="{one.server}", server="{one.server}"}}',
                            "values": f"1x{STEPS}",
                        }
                        for one in releases
                    ),
                ],
                "promql_expr_test": [*levels(releases)],
            }
        ],
    }


def levels(releases: list[Shown]) -> list[dict[str, Any]]:
    """Expectations by server and by model, and of the fleet where it follows: sums, and what all measure alike."""
    cases = []
    values = {one.server: expected(one) for one in releases}
    for signal in SIGNALS:
        have = {server: of[signal] for server, of in values.items() if signal in of}
        cases.append(case(f"server:vllm_{signal}", [(f'{{server="{name}"}}', value) for name, value in have.items()]))
        if signal in OF_SERVERS_ONLY:
            continue
        models = [(f'{{model_name="model-{name}"}}', value) for name, value in have.items()]
        cases.append(case(f"model:vllm_{signal}", models))
        if not have:
            cases.append(case(f"fleet:vllm_{signal}", []))
        elif signal.endswith(("sum", ":rate1m")):
            cases.append(case(f"fleet:vllm_{signal}", [("{}", round(sum(have.values()), 3))]))
        elif signal in MEASURED_ALIKE:
            cases.append(case(f"fleet:vllm_{signal}", [("{}", EXPECTED[signal][0])]))
    return cases


def case(expression: str, samples: list[tuple[str, float]]) -> dict[str, Any]:
    return {
        "expr": f"round({expression}, 0.0001)",
        "eval_time": AT,
        "exp_samples": [{"labels": labels, "value": value} for labels, value in samples],
    }
