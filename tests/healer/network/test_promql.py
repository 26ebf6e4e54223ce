"""The queries in a real PromQL engine: promtool evaluates them on series given by hand."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from vllm_healer.promql import FAULT, SERIES, healthy_query, signals_query

pytestmark = pytest.mark.real

BINARIES = {
    "system": shutil.which("promtool"),
    "newest": shutil.which("promtool", path=os.path.expanduser("~/.cache/go-tools/bin")),
}


@pytest.fixture(params=sorted(BINARIES))
def promtool(request: pytest.FixtureRequest) -> str:
    binary = BINARIES[request.param]
    if binary is None:
        pytest.skip(f"no {request.param} promtool here")
    return binary


def evaluate(promtool: str, folder: Path, series: dict[str, str], query: str, expected: dict[str, float]) -> None:
    """At 12 s, with a sample each 5 s: the last one is 2 s old. Each query also brings the time it was evaluated at."""
    expected = {**expected, '{healer_term="now/value"}': 12.0}
    case = {
        "interval": "5s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": query,
                "eval_time": "12s",
                "exp_samples": [{"labels": labels, "value": value} for labels, value in expected.items()],
            }
        ],
    }
    file = folder / "query.test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1s", "tests": [case]}))
    outcome = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=20)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_every_signal_comes_with_its_age(promtool: str, tmp_path: Path) -> None:
    series = {f'{name}{{server="gpu1:8000"}}': "7 7 7" for name in SERIES.values()}
    series['vllm_server_stalled{server="other:8000"}'] = "1 1 1"
    expected: dict[str, float] = {}
    for field, name in SERIES.items():
        expected[f'{name}{{healer_term="{field}/value", server="gpu1:8000"}}'] = 7
        expected[f'{{healer_term="{field}/age", server="gpu1:8000"}}'] = 2
    evaluate(promtool, tmp_path, series, signals_query("gpu1:8000", frozenset()), expected)


def test_a_recorded_series_that_a_detector_reads_comes_with_its_age_too(promtool: str, tmp_path: Path) -> None:
    name = "server:vllm_preemptions:rate1m"
    expected = {
        f'{name}{{healer_term="{name}/value", server="gpu1:8000"}}': 3.0,
        f'{{healer_term="{name}/age", server="gpu1:8000"}}': 2.0,
    }
    query = signals_query("gpu1:8000", frozenset({name}))
    evaluate(promtool, tmp_path, {f'{name}{{server="gpu1:8000"}}': "3 3 3"}, query, expected)


def test_each_failure_mode_that_alerts_tell_of_comes_with_its_age(promtool: str, tmp_path: Path) -> None:
    expected = {
        f'{FAULT}{{failure_mode="cuda_error", healer_term="{FAULT}/value", server="gpu1:8000"}}': 1.0,
        f'{{failure_mode="cuda_error", healer_term="{FAULT}/age", server="gpu1:8000"}}': 2.0,
        f'{FAULT}{{failure_mode="worker_dead", healer_term="{FAULT}/value", server="gpu1:8000"}}': 1.0,
        f'{{failure_mode="worker_dead", healer_term="{FAULT}/age", server="gpu1:8000"}}': 2.0,
    }
    series = {
        f'{FAULT}{{server="gpu1:8000", failure_mode="{mode}"}}': "1 1 1" for mode in ("cuda_error", "worker_dead")
    }
    evaluate(promtool, tmp_path, series, signals_query("gpu1:8000", frozenset()), expected)


def test_a_name_that_needs_escapes_matches_itself_and_nothing_else(promtool: str, tmp_path: Path) -> None:
    series = {r'vllm_server_stalled{server="a\"\\b:1"}': "1 1 1", 'vllm_server_stalled{server="b:1"}': "1 1 1"}
    expected = {
        r'vllm_server_stalled{healer_term="stalled/value", server="a\"\\b:1"}': 1.0,
        r'{healer_term="stalled/age", server="a\"\\b:1"}': 2.0,
    }
    evaluate(promtool, tmp_path, series, signals_query('a"\\b:1', frozenset()), expected)


def test_the_health_of_a_pool_is_asked_by_exact_names(promtool: str, tmp_path: Path) -> None:
    series = {
        'vllm_probe_health{server="a.b:1",result="ok"}': "1 1 1",
        'vllm_probe_health{server="a.b:1",result="refused"}': "0 0 0",
        'vllm_server_stalled{server="a.b:1"}': "0 0 0",
        'vllm_probe_health{server="aXb:1",result="ok"}': "1 1 1",
    }
    expected = {
        'vllm_probe_health{healer_term="healthy/value", result="ok", server="a.b:1"}': 1.0,
        '{healer_term="healthy/age", result="ok", server="a.b:1"}': 2.0,
        'vllm_server_stalled{healer_term="stalled/value", server="a.b:1"}': 0.0,
        '{healer_term="stalled/age", server="a.b:1"}': 2.0,
    }
    evaluate(promtool, tmp_path, series, healthy_query(frozenset({"a.b:1", "c d:2"})), expected)
