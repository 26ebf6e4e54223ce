"""prometheus/rules/cost.rules.yml: what requests and tokens cost, and that nothing is said without a price."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from prometheus.thresholds import SOURCE, TARGET, parse, render
from tests.alerts.releases import line
from tests.alerts.test_releases import case
from tests.alerts.toolchain import PROMETHEUS, Tools, output_of

pytestmark = pytest.mark.alerts

STEPS = 380  # scrapes of 15 s: 95 minutes, so that the last hour has nothing of the beginning


@pytest.mark.parametrize("price", [None, 3.6])
def test_costs_follow_from_the_price_and_energy_needs_none(tools: Tools, tmp_path: Path, price: float | None) -> None:
    """Of m, `a` has two GPUs at a price of its own, and `b` shares a third with `c`, of which no model is known."""
    shutil.copytree(PROMETHEUS / "rules", tmp_path / "rules")
    text = SOURCE.read_text()
    if price is not None:
        text = text.replace(
            "gpu_hour_price:\n  value:",
            f"gpu_hour_price:\n  overrides: [{{server: a, value: 7.2}}]\n  value: {price}",
        )
    (tmp_path / "rules" / TARGET.name).write_text(render(parse(text)))
    document = {
        "rule_files": [str(tmp_path / "rules" / "*.yml")],
        "evaluation_interval": "1m",
        "tests": [{"interval": "15s", "input_series": series(), "promql_expr_test": cases(price is not None)}],
    }
    file = tmp_path / "cost.test.yml"
    file.write_text(yaml.safe_dump(document))
    output_of(tools.promtool, "test", "rules", file)


def series() -> list[dict[str, str]]:
    """`a` answers one request and makes 100 tokens a second, with 300 W on each GPU; `b` and `c` do nothing."""
    own = {"job": "vllm", "engine": "0", "model_name": "m"}
    a, b = (own | {"instance": name, "server": name} for name in "ab")
    host = {"job": "exporter", "instance": "h:9855"}
    on = {"a": "01", "b": "2", "c": "2"}
    return [
        line("up", {"job": "vllm", "instance": "a", "server": "a"}, f"1x{STEPS}"),
        line("vllm:num_requests_running", a, f"1x{STEPS}"),
        line("vllm:num_requests_running", b, f"0x{STEPS}"),
        line("vllm:request_success_total", a | {"finished_reason": "stop"}, f"0+15x{STEPS}"),
        line("vllm:generation_tokens_total", a, f"0+1500x{STEPS}"),
        line("vllm_probe_health", host | {"server": "c", "result": "ok"}, f"1x{STEPS}"),
        *(
            line(
                "vllm_gpu_process_memory_bytes",
                host | {"server": server, "gpu_id": gpu, "role": "worker", "rank": "0"},
                f"9x{STEPS}",
            )
            for server, gpus in on.items()
            for gpu in gpus
        ),
        *(line("vllm_gpu_power_watts", host | {"gpu_id": gpu}, f"300x{STEPS}") for gpu in "012"),
    ]


def cases(priced: bool) -> list[dict[str, object]]:
    expected: dict[str, dict[str, float]] = {
        "server:vllm_gpus:sum": {"a": 2, "b": 0.5, "c": 0.5},
        "server:vllm_gpu_power_watts:sum": {"a": 600, "b": 150, "c": 150},
        "server:vllm_gpu_joules_per_1000_tokens:ratio_1h": {"a": 6000},
    }
    costs: dict[str, dict[str, float]] = {
        "server:vllm_gpu_cost_per_hour:sum": {"a": 14.4, "b": 1.8, "c": 1.8},
        "server:vllm_gpu_cost_per_request:ratio_1h": {"a": 0.004},
        "server:vllm_gpu_cost_per_1000_tokens:ratio_1h": {"a": 0.04},
        "server:vllm_gpu_idle_cost_per_hour:ratio_1h": {"a": 0.0, "b": 1.8},
    }
    of_models = {
        "model:vllm_gpu_cost_per_hour:sum": 16.2,
        "model:vllm_gpu_cost_per_request:ratio_1h": 0.0045,
        "model:vllm_gpu_cost_per_1000_tokens:ratio_1h": 0.045,
        "model:vllm_gpu_idle_cost_per_hour:ratio_1h": 1.8,
    }
    by_server = expected | {name: of if priced else {} for name, of in costs.items()}
    found = [
        case(name, [(f'{{server="{server}"}}', float(value)) for server, value in of.items()])
        for name, of in by_server.items()
    ]
    found += [case(name, [('{model_name="m"}', value)] if priced else []) for name, value in of_models.items()]
    return [one | {"eval_time": "95m"} for one in found]
